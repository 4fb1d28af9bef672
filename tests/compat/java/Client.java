// The Java client by its API: what every client has to show; see python/common.py for the meaning of each feature.
//
//   java -cp CLIENT_JARS Client.java
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeader;

public class Client {
    static final String PREFIX = System.getenv("COMPAT_PREFIX");
    static int topics;

    interface Feature {
        void run() throws Exception;
    }

    static Map<String, Object> settings(Object... more) {
        Map<String, Object> map = new HashMap<>(Map.of("bootstrap.servers", System.getenv("KAFKA_BOOTSTRAP")));
        String bytes = "org.apache.kafka.common.serialization.String";
        for (String side : List.of("key.", "value.")) {
            map.put(side + "serializer", bytes + "Serializer");
            map.put(side + "deserializer", bytes + "Deserializer");
        }
        for (int i = 0; i < more.length; i += 2)
            map.put((String) more[i], more[i + 1]);
        return map;
    }

    static void check(boolean condition, String message) {
        if (!condition)
            throw new IllegalStateException(message);
    }

    static void waitFor(int seconds, BooleanSupplier condition, String message) throws Exception {
        for (long end = System.nanoTime() + seconds * 1_000_000_000L; !condition.getAsBoolean(); Thread.sleep(50))
            check(System.nanoTime() < end, message);
    }

    static String topic(int partitions) throws Exception {
        String name = PREFIX + "-" + ++topics;
        try (Admin admin = Admin.create(settings())) {
            admin.createTopics(List.of(new NewTopic(name, partitions, (short) 3))).all().get();
        }
        return name;
    }

    static void produce(List<ProducerRecord<String, String>> records, Object... more) throws Exception {
        try (Producer<String, String> producer = new KafkaProducer<>(settings(more))) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (ProducerRecord<String, String> r : records)
                sent.add(producer.send(r));
            for (Future<RecordMetadata> f : sent)
                f.get(30, TimeUnit.SECONDS);
        }
    }

    static List<ProducerRecord<String, String>> values(String topic, int from, int to) {
        List<ProducerRecord<String, String>> list = new ArrayList<>();
        for (int i = from; i < to; i++)
            list.add(new ProducerRecord<>(topic, "" + i));
        return list;
    }

    static List<ConsumerRecord<String, String>> read(String topic, int partitions, int count, long offset) throws Exception {
        List<TopicPartition> all = new ArrayList<>();
        for (int p = 0; p < partitions; p++)
            all.add(new TopicPartition(topic, p));
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        try (Consumer<String, String> consumer = new KafkaConsumer<>(settings())) {
            consumer.assign(all);
            for (TopicPartition p : all)
                consumer.seek(p, offset);
            for (long end = System.nanoTime() + 20_000_000_000L; got.size() < count && System.nanoTime() < end;)
                consumer.poll(Duration.ofMillis(100)).forEach(got::add);
        }
        check(got.size() >= count, got.size() + " records instead of " + count);
        return got;
    }

    static void roundTrip(int count, Object... more) throws Exception {
        String name = topic(3);
        produce(values(name, 0, count), more);
        Set<String> seen = new HashSet<>();
        read(name, 3, count, 0).forEach(r -> seen.add(r.value()));
        check(seen.size() == count, "other values than were sent");
    }

    static void keys() throws Exception {
        String name = topic(3);
        List<ProducerRecord<String, String>> records = new ArrayList<>();
        for (int i = 0; i < 300; i++)
            records.add(new ProducerRecord<>(name, "k" + i % 10, "" + i));
        produce(records);
        Map<String, Integer> place = new HashMap<>();
        for (ConsumerRecord<String, String> r : read(name, 3, 300, 0))
            check(place.merge(r.key(), r.partition(), (a, b) -> a.equals(b) ? a : -1) >= 0, "one key in two partitions");
    }

    static void headers() throws Exception {
        String name = topic(1);
        produce(List.of(new ProducerRecord<>(name, null, "k", "v", List.of(new RecordHeader("a", new byte[] {0, 1})))));
        byte[] value = read(name, 1, 1, 0).get(0).headers().lastHeader("a").value();
        check(Arrays.equals(value, new byte[] {0, 1}), "header " + Arrays.toString(value));
    }

    static void timestamps() throws Exception {
        String name = topic(1);
        produce(List.of(new ProducerRecord<>(name, null, 1600000000123L, null, "v")));
        check(read(name, 1, 1, 0).get(0).timestamp() == 1600000000123L, "another timestamp");
    }

    static void end() throws Exception {
        String name = topic(1);
        produce(values(name, 0, 10));
        try (Consumer<String, String> consumer = new KafkaConsumer<>(settings())) {
            TopicPartition p = new TopicPartition(name, 0);
            consumer.assign(List.of(p));
            consumer.seekToEnd(List.of(p));
            check(consumer.position(p) == 10, "the end is " + consumer.position(p));
            check(consumer.endOffsets(List.of(p)).get(p) == 10, "another end offset");
        }
    }

    static void offset() throws Exception {
        String name = topic(1);
        produce(values(name, 0, 100));
        check(read(name, 1, 1, 42).get(0).offset() == 42, "another offset");
    }

    static void time() throws Exception {
        String name = topic(1);
        List<ProducerRecord<String, String>> records = new ArrayList<>();
        for (int i = 0; i < 50; i++)
            records.add(new ProducerRecord<>(name, null, 1600000000000L + 1000 * i, null, "" + i));
        produce(records);
        try (Consumer<String, String> consumer = new KafkaConsumer<>(settings())) {
            TopicPartition p = new TopicPartition(name, 0);
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(p, 1600000020500L)).get(p);
            check(found.offset() == 21 && found.timestamp() == 1600000021000L, "found " + found);
        }
    }

    // ---- groups ----

    static class Member implements AutoCloseable {
        final List<ConsumerRecord<String, String>> got = new CopyOnWriteArrayList<>();
        final AtomicBoolean stop = new AtomicBoolean(), commit = new AtomicBoolean();
        volatile int assigned;
        volatile Exception failure;
        final Thread thread;

        Member(String topic, String group, String assignor) {
            Consumer<String, String> consumer = new KafkaConsumer<>(settings("group.id", group, "auto.offset.reset", "earliest",
                "enable.auto.commit", false, "heartbeat.interval.ms", 500, "partition.assignment.strategy",
                "org.apache.kafka.clients.consumer." + assignor));
            thread = new Thread(() -> {
                try (consumer) {
                    consumer.subscribe(List.of(topic));
                    while (!stop.get()) {
                        consumer.poll(Duration.ofMillis(50)).forEach(got::add);
                        assigned = consumer.assignment().size();
                        if (commit.compareAndSet(true, false))
                            consumer.commitSync();
                    }
                } catch (Exception e) {
                    failure = e;
                }
            });
            thread.start();
        }

        void commit() throws Exception {
            commit.set(true);
            waitFor(60, () -> !commit.get() || failure != null, "the commit hangs");
        }

        public void close() throws Exception {
            stop.set(true);
            thread.join();
            if (failure != null)
                throw failure;
        }
    }

    static void group(String assignor) throws Exception {
        String name = topic(6);
        Deque<Member> members = new ArrayDeque<>();
        for (int size : new int[] {1, 3, 1}) {
            while (members.size() < size)
                members.push(new Member(name, name + "-group", assignor));
            while (members.size() > size)
                members.pop().close();
            waitFor(60, () -> members.stream().allMatch(m -> m.assigned == 6 / size), size + " members are not balanced");
        }
        members.pop().close();
    }

    static List<ConsumerRecord<String, String>> take(String topic, int count) throws Exception {
        try (Member m = new Member(topic, topic + "-group", "CooperativeStickyAssignor")) {
            waitFor(60, () -> m.got.size() >= count, "not " + count + " records");
            m.commit();
            return m.got;
        }
    }

    static void resume() throws Exception {
        String name = topic(1);
        produce(values(name, 0, 100));
        check(take(name, 100).get(0).offset() == 0, "not from the start");
        produce(values(name, 100, 150));
        check(take(name, 50).get(0).offset() == 100, "not from the commit on");
    }

    static void kill(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of(System.getenv("COMPAT_KILL")));
        command.addAll(List.of(arguments));
        check(new ProcessBuilder(command).redirectErrorStream(true).start().waitFor() == 0, "nobody could be killed");
    }

    static void coordinator() throws Exception {
        String name = topic(1);
        produce(values(name, 0, 100));
        try (Member m = new Member(name, name + "-group", "CooperativeStickyAssignor")) {
            waitFor(60, () -> m.got.size() >= 100, "not 100 records");
            kill("--coordinator", name + "-group");
            produce(values(name, 100, 150));
            waitFor(60, () -> m.got.size() >= 150, "not 150 records");
            m.commit();
        }
        produce(values(name, 150, 160));
        check(take(name, 10).get(0).offset() == 150, "not from the commit on");
    }

    static void killLeader() throws Exception {
        String name = topic(1);
        AtomicBoolean stop = new AtomicBoolean();
        Set<String> acked = ConcurrentHashMap.newKeySet();
        Thread thread = new Thread(() -> {
            try (Producer<String, String> producer = new KafkaProducer<>(settings())) {
                for (int n = 0; !stop.get(); n++) {
                    String value = "" + n;
                    producer.send(new ProducerRecord<>(name, value), (m, e) -> {
                        if (e == null)
                            acked.add(value);
                    });
                    Thread.sleep(2);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        thread.start();
        Thread.sleep(2000);
        kill(name);
        int before = acked.size();
        Thread.sleep(4000);
        stop.set(true);
        thread.join();
        check(acked.size() > before + 100, "nothing was acknowledged any more");
        Set<String> seen = new HashSet<>();
        read(name, 1, acked.size(), 0).forEach(r -> seen.add(r.value()));
        check(seen.containsAll(acked), "acknowledged records are lost");
    }

    static boolean failed;

    static void run(String name, Feature feature) {
        String wanted = System.getenv().getOrDefault("COMPAT_FEATURES", "");
        if (!wanted.isBlank() && !List.of(wanted.split(" ")).contains(name))
            return;
        try {
            feature.run();
            System.out.println("pass " + name);
        } catch (Exception e) {
            failed = true;
            System.out.println("fail " + name + " " + String.valueOf(e).replace('\n', ' '));
        }
    }

    public static void main(String[] arguments) {
        run("create", () -> topic(3));
        run("produce", () -> roundTrip(1000, "enable.idempotence", false));
        run("keys", Client::keys);
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd"))
            run(codec, () -> roundTrip(500, "compression.type", codec));
        run("idempotence", () -> roundTrip(1000));
        run("headers", Client::headers);
        run("timestamps", Client::timestamps);
        run("end", Client::end);
        run("offset", Client::offset);
        run("time", Client::time);
        run("group", () -> group("RangeAssignor"));
        run("eager", () -> group("RoundRobinAssignor"));
        run("cooperative", () -> group("CooperativeStickyAssignor"));
        run("resume", Client::resume);
        run("coordinator", Client::coordinator);
        run("kill", Client::killLeader);
        System.exit(failed ? 1 : 0);
    }
}
