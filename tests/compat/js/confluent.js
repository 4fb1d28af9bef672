const { createRequire } = require('node:module');
const { KafkaJS } = createRequire(`${process.env.COMPAT_MODULES}/`)('@confluentinc/kafka-javascript');
const { main, bootstrap, sleep } = require('./common.js');

const kafka = new KafkaJS.Kafka({ kafkaJS: { brokers: bootstrap, logLevel: KafkaJS.logLevel.NOTHING } });
const text = (b) => (b === null || b === undefined ? null : b.toString());
const record = (partition, m) => ({
  partition,
  offset: Number(m.offset),
  key: text(m.key),
  value: text(m.value),
  headers: Object.fromEntries(Object.entries(m.headers ?? {}).map(([k, v]) => [k, text(v)])),
  timestamp: Number(m.timestamp),
});

async function connected(client, f) {
  await client.connect();
  try {
    return await f(client);
  } finally {
    await client.disconnect();
  }
}

const withProducer = (options, f) => connected(kafka.producer({ kafkaJS: { acks: -1, ...options } }), f);

let readers = 0;

main({
  codecs: ['gzip', 'snappy', 'lz4', 'zstd'],
  create: (topic, numPartitions) =>
    connected(kafka.admin(), (a) => a.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 3 }] })),
  produce: (topic, messages, { compression, idempotent }) =>
    withProducer({ idempotent: !!idempotent, compression: compression ?? 'none' }, (p) =>
      p.send({ topic, messages: messages.map((m) => ({ ...m, timestamp: m.timestamp ? String(m.timestamp) : undefined })) })),
  read: (topic, partition, { from }, count, timeoutMs) =>
    connected(kafka.admin(), async (a) => {
      const ends = await a.fetchTopicOffsets(topic);
      const places = from.time ? await a.fetchTopicOffsetsByTimestamp(topic, from.time) : ends;
      const place = places.find((o) => o.partition === partition);
      const end = Number(ends.find((o) => o.partition === partition).high);
      const start = from === 'start' ? Number(place.low) : from.time ? Number(place.offset) : from.offset;
      if (start >= end) return [];
      const consumer = kafka.consumer({
        kafkaJS: { groupId: `${topic}-reader-${++readers}`, fromBeginning: true, autoCommit: false },
      });
      const records = [];
      return connected(consumer, async () => {
        await consumer.subscribe({ topic });
        consumer.run({
          eachMessage: async ({ partition: p, message }) => {
            if (p === partition && Number(message.offset) >= start) records.push(record(p, message));
          },
        });
        for (const until = Date.now() + timeoutMs; Date.now() < until; await sleep(20))
          if (records.length >= (count ?? end - start)) break;
        return records;
      });
    }),
  async member(topic, group) {
    const consumer = kafka.consumer({ kafkaJS: { groupId: group, fromBeginning: true, autoCommit: false } });
    const records = [];
    await consumer.connect();
    await consumer.subscribe({ topic });
    await consumer.run({ eachMessage: async ({ partition, message }) => records.push(record(partition, message)) });
    return {
      records,
      assigned: () => consumer.assignment().length,
      commit: () =>
        consumer.commitOffsets([{ topic, partition: 0, offset: String(records[records.length - 1].offset + 1) }]),
      close: () => consumer.disconnect(),
    };
  },
  produceForever: (topic, stopped, acked) =>
    withProducer({ idempotent: true }, async (p) => {
      for (let n = 0; !stopped(); n++) {
        try {
          await p.send({ topic, messages: [{ value: `${n}` }] });
          acked.push(`${n}`);
        } catch {
          await sleep(50);
        }
      }
    }),
});
