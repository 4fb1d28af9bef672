/* What every Node.js client has to show; see python/common.py for the meaning of each feature. An adapter has
 *   create(topic, partitions)
 *   produce(topic, [{key, value, headers, timestamp}], {compression, idempotent})   strings; resolves when acknowledged
 *   read(topic, partition, {from: 'start' | {offset} | {time}}, count, timeoutMs) -> [{partition, offset, key, value, headers, timestamp}]
 *   member(topic, group) -> {records: [], assigned(), commit(), close()}
 *   codecs: the ones it has
 */
const { execFile } = require('node:child_process');
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const prefix = process.env.COMPAT_PREFIX ?? 'compat';
const bootstrap = (process.env.KAFKA_BOOTSTRAP ?? '127.0.0.1:9092').split(',');
let topics = 0;

const killNode = (...what) =>
  new Promise((done, fail) => execFile(process.env.COMPAT_KILL, what, (e) => (e ? fail(e) : done())));

function check(condition, message) {
  if (!condition) throw new Error(message);
}
const values = (count, tag) => Array.from({ length: count }, (_, i) => ({ value: `${tag}-${i}` }));

async function waitFor(condition, ms, describe) {
  for (const end = Date.now() + ms; !condition(); await sleep(50)) check(Date.now() < end, describe());
}

function features(client) {
  const topic = async (partitions = 3) => {
    const name = `${prefix}-${++topics}`;
    await client.create(name, partitions);
    return name;
  };
  const readAll = async (name, count, partitions = 3) => {
    const records = [];
    for (let p = 0; p < partitions; p++) records.push(...(await client.read(name, p, { from: 'start' }, null, 15000)));
    check(records.length === count, `${records.length} records instead of ${count}`);
    return records;
  };
  const roundTrip = async (options, count = 500) => {
    const name = await topic();
    const sent = values(count, 'v');
    await client.produce(name, sent, options);
    const got = new Set((await readAll(name, count)).map((r) => r.value));
    check(sent.every((m) => got.has(m.value)), 'other values than were sent');
  };
  const take = async (name, group, atLeast) => {
    const member = await client.member(name, group);
    await waitFor(() => member.records.length >= atLeast, 60000, () => `${member.records.length} of ${atLeast} records`);
    await member.commit();
    await member.close();
    return member.records;
  };
  return {
    async create() {
      await client.produce(await topic(), values(1, 'x'), {});
    },
    produce: () => roundTrip({}, 1000),
    async keys() {
      const name = await topic();
      await client.produce(name, Array.from({ length: 300 }, (_, i) => ({ key: `k${i % 10}`, value: `${i}` })), {});
      const place = new Map();
      for (const r of await readAll(name, 300)) {
        if (!place.has(r.key)) place.set(r.key, r.partition);
        check(place.get(r.key) === r.partition, 'one key in two partitions');
      }
      check(place.size === 10, `${place.size} keys`);
    },
    ...Object.fromEntries(['gzip', 'snappy', 'lz4', 'zstd'].map((c) => [c, async () => {
      if (!client.codecs.includes(c)) return 'not without more packages';
      await roundTrip({ compression: c });
    }])),
    idempotence: () => roundTrip({ idempotent: true }, 1000),
    async headers() {
      const name = await topic(1);
      await client.produce(name, [{ key: 'k', value: 'v', headers: { a: '1', b: '2' } }], {});
      const [r] = await readAll(name, 1, 1);
      check(JSON.stringify(r.headers) === '{"a":"1","b":"2"}', `headers ${JSON.stringify(r.headers)}`);
    },
    async timestamps() {
      const name = await topic(1);
      await client.produce(name, [{ value: 'v', timestamp: 1600000000123 }], {});
      const [r] = await readAll(name, 1, 1);
      check(r.timestamp === 1600000000123, `timestamp ${r.timestamp}`);
    },
    async offset() {
      const name = await topic(1);
      await client.produce(name, values(100, 'n'), {});
      const got = await client.read(name, 0, { from: { offset: 42 } }, 3, 15000);
      check(got[0]?.offset === 42, `offset ${got[0]?.offset}`);
    },
    async time() {
      const name = await topic(1), base = 1600000000000;
      await client.produce(name, Array.from({ length: 50 }, (_, i) => ({ value: `${i}`, timestamp: base + 1000 * i })), {});
      const got = await client.read(name, 0, { from: { time: base + 20500 } }, 1, 15000);
      check(got[0]?.value === '21', `first record ${got[0]?.value}`);
    },
    async group() {
      const name = await topic(6), members = [];
      for (const size of [1, 3, 1]) {
        while (members.length < size) members.push(await client.member(name, `${name}-group`));
        while (members.length > size) await members.pop().close();
        await waitFor(() => members.every((m) => m.assigned() === 6 / size), 60000,
          () => `assigned ${members.map((m) => m.assigned())}`);
      }
      await members[0].close();
    },
    async resume() {
      const name = await topic(1);
      await client.produce(name, values(100, 'r'), {});
      const first = await take(name, `${name}-group`, 100);
      await client.produce(name, values(50, 's'), {});
      const rest = await take(name, `${name}-group`, 50);
      const offsets = [...first, ...rest].map((r) => r.offset);
      check(offsets.length === 150 && offsets.every((o, i) => o === i), 'not each record once, in order');
    },
    async coordinator() {
      if (client.coordinatorNote) return client.coordinatorNote;
      const name = await topic(1), group = `${name}-group`;
      await client.produce(name, values(100, 'c'), {});
      const member = await client.member(name, group);
      const seen = () => new Set(member.records.map((r) => r.offset)).size;
      await waitFor(() => seen() >= 100, 60000, () => `${seen()} of 100 records`);
      await killNode('--coordinator', group);
      await client.produce(name, values(50, 'd'), {});
      /* A member that joins anew, which takes kafkajs half a minute, reads again from its commit: what it commits must
       * be the end once more. */
      const atEnd = () => seen() >= 150 && member.records.at(-1).offset === 149;
      for (const end = Date.now() + 90000; ; await sleep(200)) {
        try {
          check(atEnd(), `${seen()} of 150 records, the last at ${member.records.at(-1).offset}`);
          await member.commit();
          break;
        } catch (e) {
          check(Date.now() < end, `commit: ${e.message}`);
        }
      }
      await member.close();
      await client.produce(name, values(10, 'e'), {});
      const rest = await take(name, group, 10);
      check(rest[0].offset === 150, `the next member begins at ${rest[0].offset}`);
    },
    async kill() {
      const name = await topic(1), acked = [];
      let stop = false;
      const loop = client.produceForever(name, () => stop, acked);
      await sleep(2000);
      await killNode(name);
      const before = acked.length;
      await sleep(6000);
      stop = true;
      await loop;
      check(acked.length > before, 'nothing was acknowledged any more');
      const got = new Set((await client.read(name, 0, { from: 'start' }, null, 15000)).map((r) => r.value));
      const lost = acked.filter((v) => !got.has(v));
      check(lost.length === 0, `${lost.length} of ${acked.length} acknowledged records lost`);
    },
  };
}

async function main(client) {
  const wanted = (process.env.COMPAT_FEATURES ?? '').split(' ').filter(Boolean);
  let failed = false;
  for (const [name, run] of Object.entries(features(client))) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    try {
      const without = await run();
      console.log(without ? `none ${name} ${without}` : `pass ${name}`);
    } catch (e) {
      failed = true;
      console.log(`fail ${name} ${String(e.message).replaceAll('\n', ' ')}`);
      console.error(e);
    }
  }
  process.exit(failed ? 1 : 0);
}

module.exports = { main, bootstrap, sleep };
