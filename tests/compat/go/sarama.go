package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type saramaClient struct{}

func saramaConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Return.Errors = true
	c.Producer.Retry.Max = 20
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	return c
}

func (saramaClient) create(topic string, partitions int32) error {
	admin, err := sarama.NewClusterAdmin(bootstrap, saramaConfig())
	if err != nil {
		return err
	}
	defer admin.Close()
	return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 3}, false)
}

func toSarama(topic string, m message) *sarama.ProducerMessage {
	out := &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(m.value), Timestamp: m.timestamp}
	if m.key != "" {
		out.Key = sarama.StringEncoder(m.key)
	}
	for k, v := range m.headers {
		out.Headers = append(out.Headers, sarama.RecordHeader{Key: []byte(k), Value: []byte(v)})
	}
	return out
}

func (saramaClient) produce(topic string, messages []message, o options) error {
	c := saramaConfig()
	codecs := map[string]sarama.CompressionCodec{"": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}
	c.Producer.Compression = codecs[o.codec]
	if o.idempotent {
		c.Producer.Idempotent = true
		c.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewSyncProducer(bootstrap, c)
	if err != nil {
		return err
	}
	defer producer.Close()
	list := make([]*sarama.ProducerMessage, len(messages))
	for i, m := range messages {
		list[i] = toSarama(topic, m)
	}
	return producer.SendMessages(list)
}

func fromSarama(r *sarama.ConsumerMessage) message {
	m := message{key: string(r.Key), value: string(r.Value), timestamp: r.Timestamp, partition: r.Partition,
		offset: r.Offset, headers: map[string]string{}}
	for _, h := range r.Headers {
		m.headers[string(h.Key)] = string(h.Value)
	}
	return m
}

func (saramaClient) read(topic string, partition int32, from place) ([]message, error) {
	cl, err := sarama.NewClient(bootstrap, saramaConfig())
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	end, err := cl.GetOffset(topic, partition, sarama.OffsetNewest)
	if err != nil {
		return nil, err
	}
	start := from.offset
	if !from.time.IsZero() {
		if start, err = cl.GetOffset(topic, partition, from.time.UnixMilli()); err != nil {
			return nil, err
		}
	}
	consumer, err := sarama.NewConsumerFromClient(cl)
	if err != nil {
		return nil, err
	}
	part, err := consumer.ConsumePartition(topic, partition, start)
	if err != nil {
		return nil, err
	}
	defer part.Close()
	var got []message
	for over := time.After(20 * time.Second); start+int64(len(got)) < end; {
		select {
		case r := <-part.Messages():
			got = append(got, fromSarama(r))
		case <-over:
			return got, fmt.Errorf("%d records when the time was over", len(got))
		}
	}
	return got, nil
}

type saramaMember struct {
	name  string
	group sarama.ConsumerGroup
	lock  sync.Mutex
	got   []message
	parts int
	now   sarama.ConsumerGroupSession
	stop  context.CancelFunc
	done  chan struct{}
}

func (m *saramaMember) Setup(s sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.parts, m.now = 0, s
	for _, parts := range s.Claims() {
		m.parts += len(parts)
	}
	return nil
}

func (m *saramaMember) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *saramaMember) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for r := range c.Messages() {
		m.lock.Lock()
		m.got = append(m.got, fromSarama(r))
		s.MarkMessage(r, "")
		m.lock.Unlock()
	}
	return nil
}

func (saramaClient) member(topic, group string) (member, error) {
	g, err := sarama.NewConsumerGroup(bootstrap, group, saramaConfig())
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &saramaMember{name: group, group: g, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			if g.Consume(ctx, []string{topic}, m) != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}()
	return m, nil
}

func (m *saramaMember) records() []message {
	m.lock.Lock()
	defer m.lock.Unlock()
	return append([]message{}, m.got...)
}

func (m *saramaMember) assigned() int {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.parts
}

func (m *saramaMember) commit() error {
	if m.now.Context().Err() != nil {
		return m.now.Context().Err() // between two generations
	}
	m.now.Commit() // its errors are lost
	cl, err := sarama.NewClusterAdmin(bootstrap, saramaConfig())
	if err != nil {
		return err
	}
	defer cl.Close()
	offsets, err := cl.ListConsumerGroupOffsets(m.name, nil)
	if err != nil {
		return err
	}
	for _, parts := range offsets.Blocks {
		for p, block := range parts {
			for _, r := range m.got {
				if r.partition == p && r.offset >= block.Offset {
					return fmt.Errorf("partition %d is committed up to %d", p, block.Offset)
				}
			}
		}
	}
	if len(offsets.Blocks) == 0 {
		return fmt.Errorf("nothing is committed")
	}
	return nil
}

func (m *saramaMember) close() {
	m.stop()
	<-m.done
	m.group.Close()
}

func (saramaClient) produceForever(topic string, stopped func() bool, acked func(string)) error {
	c := saramaConfig()
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	producer, err := sarama.NewSyncProducer(bootstrap, c)
	if err != nil {
		return err
	}
	defer producer.Close()
	for n := 0; !stopped(); n++ {
		value := fmt.Sprint(n)
		if _, _, err := producer.SendMessage(toSarama(topic, message{value: value})); err == nil {
			acked(value)
		}
	}
	return nil
}
