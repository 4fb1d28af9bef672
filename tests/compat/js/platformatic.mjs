import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import zlib from 'node:zlib';
const modules = createRequire(`${process.env.COMPAT_MODULES}/`);
const { Admin, Producer, Consumer, MessagesStreamModes, ListOffsetTimestamps, stringSerializers, stringDeserializers, ProduceAcks } =
  await import(pathToFileURL(modules.resolve('@platformatic/kafka')).href);
const { main, bootstrap, sleep } = createRequire(import.meta.url)('./common.js');

const base = { clientId: 'compat', bootstrapBrokers: bootstrap };
const record = (m) => ({
  partition: m.partition,
  offset: Number(m.offset),
  key: m.key ?? null,
  value: m.value,
  headers: Object.fromEntries([...m.headers].map(([k, v]) => [String(k), String(v)])),
  timestamp: Number(m.timestamp),
});
let readers = 0;

async function withProducer(options, f) {
  const producer = new Producer({ ...base, serializers: stringSerializers, ...options });
  try {
    return await f(producer);
  } finally {
    await Promise.race([producer.close(), sleep(2000)]); // it waits for brokers that are gone
  }
}

// A request whose connection is lost may never settle in this client.
const within = (ms, promise) =>
  Promise.race([promise, sleep(ms).then(() => Promise.reject(new Error('no answer')))]);

const makeConsumer = (groupId) =>
  new Consumer({ ...base, groupId, deserializers: stringDeserializers, sessionTimeout: 10000, heartbeatInterval: 500 });

async function ends(consumer, topic) {
  return (await consumer.listOffsets({ topics: [topic] })).get(topic);
}

main({
  codecs: ['gzip', 'snappy', 'lz4', ...(zlib.zstdCompressSync ? ['zstd'] : [])],
  async create(topic, partitions) {
    const admin = new Admin(base);
    await admin.createTopics({ topics: [topic], partitions, replicas: 3 });
    await admin.close();
  },
  produce: (topic, messages, { compression, idempotent }) =>
    withProducer({ compression: compression ?? 'none', idempotent: !!idempotent }, (p) =>
      p.send({
        acks: ProduceAcks.ALL,
        messages: messages.map((m) => ({ topic, ...m, timestamp: m.timestamp ? BigInt(m.timestamp) : undefined })),
      })),
  async read(topic, partition, { from }, count, timeoutMs) {
    const consumer = makeConsumer(`${topic}-reader-${++readers}`);
    const high = Number((await ends(consumer, topic))[partition]);
    let start = 0;
    if (from.offset !== undefined) start = from.offset;
    if (from.time) start = Number((await consumer.listOffsets({ topics: [topic], timestamp: BigInt(from.time) })).get(topic)[partition]);
    const records = [];
    if (start < high) {
      const stream = await consumer.consume({
        topics: [topic], autocommit: false, mode: MessagesStreamModes.MANUAL,
        offsets: (await ends(consumer, topic)).map((_, p) => ({ topic, partition: p, offset: p === partition ? BigInt(start) : 0n })),
        sessionTimeout: 10000, heartbeatInterval: 500,
      });
      stream.on('data', (m) => { if (m.partition === partition) records.push(record(m)); });
      for (const until = Date.now() + timeoutMs; Date.now() < until; await sleep(20))
        if (records.length >= (count ?? high - start)) break;
      await stream.close();
    }
    await consumer.close(true);
    return records;
  },
  async member(topic, group) {
    const consumer = makeConsumer(group);
    const records = [];
    let last;
    const stream = await consumer.consume({ topics: [topic], autocommit: false, mode: MessagesStreamModes.COMMITTED, fallbackMode: 'earliest' });
    stream.on('data', (m) => { last = m; records.push(record(m)); });
    return {
      records,
      assigned: () => consumer.assignments?.find((a) => a.topic === topic)?.partitions.length ?? 0,
      commit: () => last.commit(),
      async close() {
        await stream.close();
        await consumer.close(true);
      },
    };
  },
  coordinatorNote: 'it never asks for another coordinator',
  // Its producer counts on only when an answer has come: a record after one whose answer was lost looks like that one's repeat, is
  // acknowledged as such, and is nowhere. So each failure is a producer's last.
  async produceForever(topic, stopped, acked) {
    for (let n = 0; !stopped();) {
      await withProducer({ idempotent: true }, async (p) => {
        for (; !stopped(); n++) {
          await within(2000, p.send({ acks: ProduceAcks.ALL, messages: [{ topic, value: `${n}` }] }));
          acked.push(`${n}`);
        }
      }).catch(() => sleep(50));
      n++;
    }
  },
});
