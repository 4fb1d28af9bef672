package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

type kafkaGo struct{}

func kafkaGoClient() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(bootstrap...), Timeout: 20 * time.Second}
}

func (kafkaGo) create(topic string, partitions int32) error {
	request := kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: int(partitions), ReplicationFactor: 3}}}
	answer, err := kafkaGoClient().CreateTopics(within(20*time.Second), &request)
	for try := 0; try < 20 && err != nil; try++ { // its connection may have been one to a node that was killed
		time.Sleep(200 * time.Millisecond)
		answer, err = kafkaGoClient().CreateTopics(within(20*time.Second), &request)
	}
	if err != nil || errors.Is(answer.Errors[topic], kafka.TopicAlreadyExists) {
		return err
	}
	return answer.Errors[topic]
}

// It keeps what it knows of leaders for six seconds by default, wrong or not.
func kafkaGoWriter(topic string) *kafka.Writer {
	return &kafka.Writer{Addr: kafka.TCP(bootstrap...), Topic: topic, RequiredAcks: kafka.RequireAll, MaxAttempts: 60,
		BatchTimeout: 5 * time.Millisecond, WriteBackoffMax: 200 * time.Millisecond,
		Transport: &kafka.Transport{MetadataTTL: 300 * time.Millisecond}}
}

func (kafkaGo) produce(topic string, messages []message, o options) error {
	if o.idempotent {
		return errNone
	}
	w := kafkaGoWriter(topic)
	defer w.Close()
	w.Balancer = &kafka.Hash{}
	w.Compression = map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}[o.codec]
	list := make([]kafka.Message, len(messages))
	for i, m := range messages {
		list[i] = kafka.Message{Value: []byte(m.value), Time: m.timestamp}
		if m.key != "" {
			list[i].Key = []byte(m.key)
		}
		for k, v := range m.headers {
			list[i].Headers = append(list[i].Headers, kafka.Header{Key: k, Value: []byte(v)})
		}
	}
	return w.WriteMessages(within(30*time.Second), list...)
}

func fromKafkaGo(r kafka.Message) message {
	m := message{key: string(r.Key), value: string(r.Value), timestamp: r.Time, partition: int32(r.Partition),
		offset: r.Offset, headers: map[string]string{}}
	for _, h := range r.Headers {
		m.headers[h.Key] = string(h.Value)
	}
	return m
}

func kafkaGoEnd(topic string, partition int) (int64, error) {
	answer, err := kafkaGoClient().ListOffsets(within(20*time.Second), &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(partition)}}})
	if err != nil {
		return 0, err
	}
	return answer.Topics[topic][0].LastOffset, answer.Topics[topic][0].Error
}

func (kafkaGo) read(topic string, partition int32, from place) ([]message, error) {
	end, err := kafkaGoEnd(topic, int(partition))
	for try := 0; try < 20 && err != nil; try++ { // it asks one node of its list, which may be dead, and gives up
		time.Sleep(200 * time.Millisecond)
		end, err = kafkaGoEnd(topic, int(partition))
	}
	if err != nil {
		return nil, err
	}
	if end == 0 {
		return nil, nil
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: bootstrap, Topic: topic, Partition: int(partition), MaxBytes: 1 << 20,
		MaxWait: 500 * time.Millisecond})
	defer r.Close()
	ctx := within(20 * time.Second)
	if from.time.IsZero() {
		err = r.SetOffset(from.offset)
	} else {
		err = r.SetOffsetAt(ctx, from.time)
	}
	var got []message
	for err == nil && (len(got) == 0 || got[len(got)-1].offset+1 < end) {
		var m kafka.Message
		if m, err = r.ReadMessage(ctx); err == nil {
			got = append(got, fromKafkaGo(m))
		}
	}
	return got, err
}

type kafkaGoMember struct {
	lock  sync.Mutex
	got   []message
	parts int
	now   *kafka.Generation
	group *kafka.ConsumerGroup
	stop  context.CancelFunc
	done  chan struct{}
}

func (kafkaGo) member(topic, group string) (member, error) {
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: bootstrap, Topics: []string{topic},
		HeartbeatInterval: 500 * time.Millisecond, StartOffset: kafka.FirstOffset})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &kafkaGoMember{group: g, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			gen, err := g.Next(ctx)
			if errors.Is(err, kafka.ErrGroupClosed) {
				return
			}
			if err == nil {
				m.begin(gen, topic)
			}
		}
	}()
	return m, nil
}

func (m *kafkaGoMember) begin(gen *kafka.Generation, topic string) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.now, m.parts = gen, len(gen.Assignments[topic])
	for _, a := range gen.Assignments[topic] {
		gen.Start(func(ctx context.Context) {
			r := kafka.NewReader(kafka.ReaderConfig{Brokers: bootstrap, Topic: topic, Partition: a.ID, MaxBytes: 1 << 20,
				MaxWait: 500 * time.Millisecond})
			defer r.Close()
			r.SetOffset(a.Offset)
			for {
				record, err := r.ReadMessage(ctx)
				if err != nil {
					return
				}
				m.lock.Lock()
				m.got = append(m.got, fromKafkaGo(record))
				m.lock.Unlock()
			}
		})
	}
}

func (m *kafkaGoMember) records() []message {
	m.lock.Lock()
	defer m.lock.Unlock()
	return append([]message{}, m.got...)
}

func (m *kafkaGoMember) assigned() int {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.parts
}

func (m *kafkaGoMember) commit() error {
	m.lock.Lock()
	defer m.lock.Unlock()
	next := map[string]map[int]int64{}
	for topic, parts := range m.now.Assignments {
		next[topic] = map[int]int64{}
		for _, p := range parts {
			for _, r := range m.got {
				if int(r.partition) == p.ID {
					next[topic][p.ID] = r.offset + 1
				}
			}
		}
	}
	return m.now.CommitOffsets(next)
}

func (m *kafkaGoMember) close() {
	m.stop()
	m.group.Close()
	<-m.done
}

func (kafkaGo) produceForever(topic string, stopped func() bool, acked func(string)) error {
	w := kafkaGoWriter(topic)
	defer w.Close()
	for n := 0; !stopped(); n++ {
		value := fmt.Sprint(n)
		if w.WriteMessages(within(20*time.Second), kafka.Message{Value: []byte(value)}) == nil {
			acked(value)
		}
	}
	return nil
}
