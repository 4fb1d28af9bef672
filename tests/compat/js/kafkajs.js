const { createRequire } = require('node:module');
const { Kafka, CompressionTypes, logLevel } = createRequire(`${process.env.COMPAT_MODULES}/`)('kafkajs');
const { main, bootstrap, sleep } = require('./common.js');

const kafka = new Kafka({ brokers: bootstrap, logLevel: logLevel.NOTHING });
const text = (b) => (b === null || b === undefined ? null : b.toString());
const record = (partition, m) => ({
  partition,
  offset: Number(m.offset),
  key: text(m.key),
  value: text(m.value),
  headers: Object.fromEntries(Object.entries(m.headers ?? {}).map(([k, v]) => [k, text(v)])),
  timestamp: Number(m.timestamp),
});

async function withAdmin(f) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await f(admin);
  } finally {
    await admin.disconnect();
  }
}

async function withProducer(options, f) {
  const producer = kafka.producer(options);
  await producer.connect();
  try {
    return await f(producer);
  } finally {
    await producer.disconnect();
  }
}

let readers = 0;

main({
  codecs: ['gzip'],
  create: (topic, numPartitions) =>
    withAdmin((a) => a.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 3 }], waitForLeaders: true })),
  produce: (topic, messages, { compression, idempotent }) =>
    withProducer({ idempotent: !!idempotent, maxInFlightRequests: idempotent ? 1 : undefined }, (p) =>
      p.send({
        topic,
        acks: -1,
        compression: compression === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None,
        messages: messages.map((m) => ({ ...m, timestamp: m.timestamp ? String(m.timestamp) : undefined })),
      })),
  async read(topic, partition, { from }, count, timeoutMs) {
    const place = (await withAdmin((a) => (from.time ? a.fetchTopicOffsetsByTimestamp(topic, from.time) : a.fetchTopicOffsets(topic))))
      .find((o) => o.partition === partition);
    const ends = await withAdmin((a) => a.fetchTopicOffsets(topic));
    const end = Number(ends.find((o) => o.partition === partition).high);
    const start = from === 'start' ? Number(place.low) : from.time ? Number(place.offset) : from.offset;
    if (start >= end) return [];
    const consumer = kafka.consumer({ groupId: `${topic}-reader-${++readers}` });
    const records = [];
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition: p, message }) => {
        if (p === partition && Number(message.offset) >= start) records.push(record(p, message));
      },
    });
    consumer.seek({ topic, partition, offset: String(start) });
    for (const until = Date.now() + timeoutMs; Date.now() < until; await sleep(20))
      if (records.length >= (count ?? end - start)) break;
    await consumer.disconnect();
    return records;
  },
  async member(topic, group) {
    const consumer = kafka.consumer({ groupId: group });
    const records = [];
    let assigned = 0;
    consumer.on(consumer.events.GROUP_JOIN, (e) => {
      assigned = (e.payload.memberAssignment[topic] ?? []).length;
    });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({ eachMessage: async ({ partition, message }) => records.push(record(partition, message)) });
    return {
      records,
      assigned: () => assigned,
      commit: () =>
        consumer.commitOffsets([{ topic, partition: 0, offset: String(records[records.length - 1].offset + 1) }]),
      close: () => consumer.disconnect(),
    };
  },
  produceForever: (topic, stopped, acked) =>
    withProducer({ idempotent: true, maxInFlightRequests: 1 }, async (p) => {
      for (let n = 0; !stopped(); n++) {
        try {
          await p.send({ topic, acks: -1, messages: [{ value: `${n}` }] });
          acked.push(`${n}`);
        } catch {
          await sleep(50);
        }
      }
    }),
});
