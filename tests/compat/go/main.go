// What every Go client has to show; see python/common.py for the meaning of each feature.
//
//	compat franz | sarama | kafkago
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type message struct {
	key, value string
	headers    map[string]string
	timestamp  time.Time
	partition  int32
	offset     int64
}

type options struct {
	codec      string
	idempotent bool
}

type place struct {
	offset int64     // from this one on
	time   time.Time // or, when not zero, from this time on
}

type member interface {
	records() []message
	assigned() int
	commit() error
	close()
}

type client interface {
	create(topic string, partitions int32) error
	produce(topic string, messages []message, o options) error
	// All records there are now from the place on.
	read(topic string, partition int32, from place) ([]message, error)
	member(topic, group string) (member, error)
	// Until stopped; calls acked for each value.
	produceForever(topic string, stopped func() bool, acked func(value string)) error
}

var (
	bootstrap = strings.Split(os.Getenv("KAFKA_BOOTSTRAP"), ",")
	topics    int
	errNone   = errors.New("the client does not have this")
)

func values(count int, tag string) []message {
	out := make([]message, count)
	for i := range out {
		out[i].value = fmt.Sprintf("%s-%d", tag, i)
	}
	return out
}

func newTopic(c client, partitions int32) (string, error) {
	topics++
	name := fmt.Sprintf("%s-%d", os.Getenv("COMPAT_PREFIX"), topics)
	return name, c.create(name, partitions)
}

func readAll(c client, topic string, partitions int32, count int) ([]message, error) {
	var all []message
	for p := int32(0); p < partitions; p++ {
		got, err := c.read(topic, p, place{})
		if err != nil {
			return nil, err
		}
		all = append(all, got...)
	}
	if len(all) != count {
		return nil, fmt.Errorf("%d records instead of %d", len(all), count)
	}
	return all, nil
}

func roundTrip(c client, count int, o options) error {
	topic, err := newTopic(c, 3)
	if err != nil {
		return err
	}
	if err = c.produce(topic, values(count, "v"), o); err != nil {
		return err
	}
	got, err := readAll(c, topic, 3, count)
	seen := map[string]bool{}
	for _, m := range got {
		seen[m.value] = true
	}
	if err == nil && len(seen) != count {
		err = errors.New("other values than were sent")
	}
	return err
}

func one(c client, m message, check func(message) error) error {
	topic, err := newTopic(c, 1)
	if err != nil {
		return err
	}
	if err = c.produce(topic, []message{m}, options{}); err != nil {
		return err
	}
	got, err := readAll(c, topic, 1, 1)
	if err != nil {
		return err
	}
	return check(got[0])
}

func keys(c client) error {
	topic, err := newTopic(c, 3)
	if err != nil {
		return err
	}
	sent := make([]message, 300)
	for i := range sent {
		sent[i] = message{key: fmt.Sprintf("k%d", i%10), value: fmt.Sprint(i)}
	}
	if err = c.produce(topic, sent, options{}); err != nil {
		return err
	}
	got, err := readAll(c, topic, 3, 300)
	where := map[string]int32{}
	for _, m := range got {
		if p, known := where[m.key]; known && p != m.partition {
			return errors.New("one key in two partitions")
		}
		where[m.key] = m.partition
	}
	return err
}

func from(c client, start place, want string) error {
	topic, err := newTopic(c, 1)
	if err != nil {
		return err
	}
	sent := make([]message, 100)
	for i := range sent {
		sent[i] = message{value: fmt.Sprint(i), timestamp: time.UnixMilli(1600000000000 + int64(i)*1000)}
	}
	if err = c.produce(topic, sent, options{}); err != nil {
		return err
	}
	got, err := c.read(topic, 0, start)
	if err == nil && (len(got) == 0 || got[0].value != want) {
		err = fmt.Errorf("%d records, not from %s on", len(got), want)
	}
	return err
}

func waitFor(limit time.Duration, condition func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return condition()
}

func group(c client) error {
	topic, err := newTopic(c, 6)
	if err != nil {
		return err
	}
	var members []member
	defer func() {
		for _, m := range members {
			m.close()
		}
	}()
	for _, size := range []int{1, 3, 1} {
		for len(members) < size {
			m, err := c.member(topic, topic+"-group")
			if err != nil {
				return err
			}
			members = append(members, m)
		}
		for len(members) > size {
			members[len(members)-1].close()
			members = members[:len(members)-1]
		}
		if !waitFor(60*time.Second, func() bool {
			for _, m := range members {
				if m.assigned() != 6/size {
					return false
				}
			}
			return true
		}) {
			return fmt.Errorf("%d members do not have %d partitions each", size, 6/size)
		}
	}
	return nil
}

func take(c client, topic string, count int) ([]message, error) {
	m, err := c.member(topic, topic+"-group")
	if err != nil {
		return nil, err
	}
	defer m.close()
	if !waitFor(60*time.Second, func() bool { return len(m.records()) >= count }) {
		return nil, fmt.Errorf("%d of %d records", len(m.records()), count)
	}
	return m.records(), m.commit()
}

func resume(c client) error {
	topic, err := newTopic(c, 1)
	if err != nil {
		return err
	}
	var got []message
	for _, count := range []int{100, 50} {
		if err = c.produce(topic, values(count, "r"), options{}); err != nil {
			return err
		}
		records, err := take(c, topic, count)
		if err != nil {
			return err
		}
		got = append(got, records...)
	}
	for i, m := range got {
		if m.offset != int64(i) {
			return errors.New("not each record once, in order")
		}
	}
	return nil
}

// A member goes on when its coordinator has died, and its next commit counts.
func coordinator(c client) error {
	topic, err := newTopic(c, 1)
	if err != nil {
		return err
	}
	if err = c.produce(topic, values(100, "c"), options{}); err != nil {
		return err
	}
	m, err := c.member(topic, topic+"-group")
	if err != nil {
		return err
	}
	if !waitFor(60*time.Second, func() bool { return len(m.records()) >= 100 }) {
		return fmt.Errorf("%d of 100 records", len(m.records()))
	}
	if err = exec.Command(os.Getenv("COMPAT_KILL"), "--coordinator", topic+"-group").Run(); err != nil {
		return err
	}
	if err = c.produce(topic, values(50, "d"), options{}); err != nil {
		return err
	}
	seen := map[int64]bool{}
	if !waitFor(60*time.Second, func() bool {
		for _, r := range m.records() {
			seen[r.offset] = true
		}
		return len(seen) == 150
	}) {
		return fmt.Errorf("%d of 150 records", len(seen))
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if err = m.commit(); err == nil {
			break
		}
		if time.Now().After(end) {
			return err
		}
	}
	m.close()
	if err = c.produce(topic, values(10, "e"), options{}); err != nil {
		return err
	}
	rest, err := take(c, topic, 10)
	if err == nil && rest[0].offset != 150 {
		err = fmt.Errorf("the next member begins at %d, not 150", rest[0].offset)
	}
	return err
}

func kill(c client) error {
	topic, err := newTopic(c, 1)
	if err != nil {
		return err
	}
	var stop atomic.Bool
	var lock sync.Mutex
	var acked []string
	done := make(chan error, 1)
	go func() {
		done <- c.produceForever(topic, stop.Load, func(v string) {
			lock.Lock()
			acked = append(acked, v)
			lock.Unlock()
		})
	}()
	time.Sleep(2 * time.Second)
	if err = exec.Command(os.Getenv("COMPAT_KILL"), topic).Run(); err != nil {
		return err
	}
	lock.Lock()
	before := len(acked)
	lock.Unlock()
	time.Sleep(5 * time.Second)
	stop.Store(true)
	if err = <-done; err != nil {
		return err
	}
	if len(acked) <= before {
		return errors.New("nothing was acknowledged any more")
	}
	got, err := c.read(topic, 0, place{})
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, m := range got {
		seen[m.value] = true
	}
	for _, v := range acked {
		if !seen[v] {
			return fmt.Errorf("acknowledged record %s is lost", v)
		}
	}
	return err
}

func main() {
	clients := map[string]client{"franz": franz{}, "sarama": saramaClient{}, "kafkago": kafkaGo{}}
	c := clients[os.Args[1]]
	wanted := strings.Fields(os.Getenv("COMPAT_FEATURES"))
	failed := false
	run := func(name string, f func() error) {
		if len(wanted) > 0 && !strings.Contains(" "+strings.Join(wanted, " ")+" ", " "+name+" ") {
			return
		}
		if err := f(); errors.Is(err, errNone) {
			fmt.Printf("none %s\n", name)
		} else if err != nil {
			failed = true
			fmt.Printf("fail %s %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Printf("pass %s\n", name)
		}
	}
	run("create", func() error { _, err := newTopic(c, 3); return err })
	run("produce", func() error { return roundTrip(c, 1000, options{}) })
	run("keys", func() error { return keys(c) })
	for _, codec := range []string{"gzip", "snappy", "lz4", "zstd"} {
		run(codec, func() error { return roundTrip(c, 500, options{codec: codec}) })
	}
	run("idempotence", func() error { return roundTrip(c, 1000, options{idempotent: true}) })
	run("headers", func() error {
		return one(c, message{value: "v", headers: map[string]string{"a": "1"}}, func(m message) error {
			if m.headers["a"] != "1" {
				return fmt.Errorf("headers %v", m.headers)
			}
			return nil
		})
	})
	run("timestamps", func() error {
		return one(c, message{value: "v", timestamp: time.UnixMilli(1600000000123)}, func(m message) error {
			if m.timestamp.UnixMilli() != 1600000000123 {
				return fmt.Errorf("timestamp %v", m.timestamp)
			}
			return nil
		})
	})
	run("offset", func() error { return from(c, place{offset: 42}, "42") })
	run("time", func() error { return from(c, place{time: time.UnixMilli(1600000020500)}, "21") })
	run("group", func() error { return group(c) })
	run("resume", func() error { return resume(c) })
	run("coordinator", func() error { return coordinator(c) })
	run("kill", func() error { return kill(c) })
	if failed {
		os.Exit(1)
	}
}
