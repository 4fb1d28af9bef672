package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type franz struct{}

func franzClient(more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap...)}, more...)...)
}

func within(limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	time.AfterFunc(limit, cancel)
	return ctx
}

func (franz) create(topic string, partitions int32) error {
	cl, err := franzClient()
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = kadm.NewClient(cl).CreateTopic(within(20*time.Second), partitions, 3, nil, topic)
	return err
}

func (franz) produce(topic string, messages []message, o options) error {
	codecs := map[string]kgo.CompressionCodec{"": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	settings := []kgo.Opt{kgo.ProducerBatchCompression(codecs[o.codec])}
	if !o.idempotent {
		settings = append(settings, kgo.DisableIdempotentWrite())
	}
	cl, err := franzClient(settings...)
	if err != nil {
		return err
	}
	defer cl.Close()
	records := make([]*kgo.Record, len(messages))
	for i, m := range messages {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(m.value), Timestamp: m.timestamp}
		if m.key != "" {
			records[i].Key = []byte(m.key)
		}
		for k, v := range m.headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
		}
	}
	return cl.ProduceSync(within(30*time.Second), records...).FirstErr()
}

func fromFranz(r *kgo.Record) message {
	m := message{key: string(r.Key), value: string(r.Value), timestamp: r.Timestamp, partition: r.Partition,
		offset: r.Offset, headers: map[string]string{}}
	for _, h := range r.Headers {
		m.headers[h.Key] = string(h.Value)
	}
	return m
}

func (franz) read(topic string, partition int32, from place) ([]message, error) {
	offset := kgo.NewOffset().At(from.offset)
	if !from.time.IsZero() {
		offset = kgo.NewOffset().AfterMilli(from.time.UnixMilli())
	}
	cl, err := franzClient(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: offset}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(within(20*time.Second), topic)
	if err != nil {
		return nil, err
	}
	end, _ := ends.Lookup(topic, partition)
	var got []message
	for ctx := within(20 * time.Second); end.Offset > 0 && (len(got) == 0 || got[len(got)-1].offset+1 < end.Offset); {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return got, fmt.Errorf("%d records when the time was over", len(got))
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, fromFranz(r)) })
	}
	return got, nil
}

type franzMember struct {
	cl    *kgo.Client
	lock  sync.Mutex
	got   []message
	parts map[int32]bool
	done  chan struct{}
}

func (franz) member(topic, group string) (member, error) {
	m := &franzMember{parts: map[int32]bool{}, done: make(chan struct{})}
	change := func(have bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			m.lock.Lock()
			defer m.lock.Unlock()
			for _, p := range parts[topic] {
				if have {
					m.parts[p] = true
				} else {
					delete(m.parts, p)
				}
			}
		}
	}
	cl, err := franzClient(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)))
	if err != nil {
		return nil, err
	}
	m.cl = cl
	go func() {
		defer close(m.done)
		for {
			fetches := cl.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			m.lock.Lock()
			fetches.EachRecord(func(r *kgo.Record) { m.got = append(m.got, fromFranz(r)) })
			m.lock.Unlock()
		}
	}()
	return m, nil
}

func (m *franzMember) records() []message {
	m.lock.Lock()
	defer m.lock.Unlock()
	return append([]message{}, m.got...)
}

func (m *franzMember) assigned() int {
	m.lock.Lock()
	defer m.lock.Unlock()
	return len(m.parts)
}

func (m *franzMember) commit() error {
	return m.cl.CommitUncommittedOffsets(within(20 * time.Second))
}

func (m *franzMember) close() {
	m.cl.Close()
	<-m.done
}

func (franz) produceForever(topic string, stopped func() bool, acked func(string)) error {
	cl, err := franzClient(kgo.DefaultProduceTopic(topic))
	if err != nil {
		return err
	}
	defer cl.Close()
	for n := 0; !stopped(); n++ {
		value := fmt.Sprint(n)
		cl.Produce(context.Background(), kgo.StringRecord(value), func(_ *kgo.Record, err error) {
			if err == nil {
				acked(value)
			}
		})
		time.Sleep(2 * time.Millisecond)
	}
	return cl.Flush(within(30 * time.Second))
}
