/* How long a Java producer with default settings waits for its next acknowledgement after the kill -9 of the node
 * that leads its partition.
 *
 *   java -cp 'JARS/*' KillMeter.java BOOTSTRAP KILLS 'COMMAND {}' 'COMMAND {}'
 *
 * The commands kill node {} and start it again. One record is in flight at a time; a new producer for each kill. */
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class KillMeter {
    static final short REPLICAS = 3;
    static final long WARM_UP_MS = 1000, TIMEOUT_MS = 60000;
    static final byte[] VALUE = new byte[1024];

    static void run(String command, int node) throws Exception {
        var shell = new ProcessBuilder("sh", "-c", command.replace("{}", Integer.toString(node))).inheritIO().start();
        if (shell.waitFor() != 0) {
            throw new IllegalStateException("failed: " + command);
        }
    }

    /* Who leads, once all replicas are there; -1: not yet. */
    static int leader(Admin admin, String topic) throws Exception {
        TopicPartitionInfo p = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().get(0);
        return p.leader() != null && p.isr().size() == REPLICAS ? p.leader().id() : -1;
    }

    static int whole(Admin admin, String topic) throws Exception {
        for (long end = System.currentTimeMillis() + TIMEOUT_MS; System.currentTimeMillis() < end; Thread.sleep(100)) {
            int leader = leader(admin, topic);
            if (leader >= 0) {
                return leader;
            }
        }
        throw new IllegalStateException("the cluster does not become whole");
    }

    static double timeKill(Admin admin, String bootstrap, String topic, String kill, String revive) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap);
        whole(admin, topic);
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            var record = new ProducerRecord<byte[], byte[]>(topic, 0, null, VALUE);
            for (long end = System.currentTimeMillis() + WARM_UP_MS; System.currentTimeMillis() < end;) {
                producer.send(record).get();
            }
            int leader = whole(admin, topic);
            producer.send(record).get();
            long start = System.nanoTime();
            run(kill, leader);
            producer.send(record).get();
            double ms = (System.nanoTime() - start) / 1e6;
            run(revive, leader);
            return ms;
        }
    }

    public static void main(String[] args) throws Exception {
        String bootstrap = args[0], kill = args[2], revive = args[3], topic = "kill-meter-" + System.currentTimeMillis();
        double[] ms = new double[Integer.parseInt(args[1])];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(topic, Optional.of(1), Optional.of(REPLICAS)))).all().get();
            for (int i = 0; i < ms.length; i++) {
                ms[i] = timeKill(admin, bootstrap, topic, kill, revive);
                System.out.printf("kill %d: %.0f ms%n", i + 1, ms[i]);
            }
        }
        Arrays.sort(ms);
        System.out.printf("kill -9 of the leader to the next ack, Java, %d times: p50 %.0f ms, p99 %.0f ms%n", ms.length,
                          ms[(ms.length - 1) / 2], ms[(int) ((ms.length - 1) * 0.99)]);
    }
}
