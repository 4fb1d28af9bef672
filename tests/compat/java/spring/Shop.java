// A Spring Boot service as people write them, with spring-kafka and its defaults: only the address of the brokers is ours.
//
//   registration: a user registers, and an e-mail goes out
//   fan-out:      each order reaches four groups of listeners, whole and in its customer's order
//   retries:      a payment that fails twice is tried again until it works
//   dead-letter:  one that never works ends in the topic where Spring's own recoverer puts it, with the reason in its headers
package shop;

import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.config.TopicBuilder;
import org.springframework.kafka.core.KafkaAdmin;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.util.backoff.FixedBackOff;

@SpringBootApplication
public class Shop {
    public record Registration(String user, String email) {}
    public record Order(String customer, int number) {}
    public record Payment(int order, int failures) {}

    static final int ORDERS = 200, CUSTOMERS = 5;
    static final List<String> GROUPS = List.of("stock", "billing", "shipping", "statistics");
    final Set<String> mails = ConcurrentHashMap.newKeySet();
    final Map<String, List<Order>> orders = new ConcurrentHashMap<>();
    final Map<Integer, Integer> attempts = new ConcurrentHashMap<>();
    final Set<Integer> paid = ConcurrentHashMap.newKeySet();
    final List<ConsumerRecord<String, Payment>> dead = new CopyOnWriteArrayList<>();

    @Bean
    KafkaAdmin.NewTopics topics() {
        return new KafkaAdmin.NewTopics(topic("registrations"), topic("orders"), topic("payments"), topic("payments-dlt"));
    }

    static NewTopic topic(String name) {
        return TopicBuilder.name(name).partitions(3).replicas(3).config("min.insync.replicas", "2").config("flush.ms", "1000").build();
    }

    @Bean
    DefaultErrorHandler errorHandler(KafkaTemplate<Object, Object> template) {
        return new DefaultErrorHandler(new DeadLetterPublishingRecoverer(template), new FixedBackOff(50, 3));
    }

    @KafkaListener(topics = "registrations", groupId = "mailer")
    void mail(Registration r) {
        mails.add(r.email());
    }

    @KafkaListener(topics = "orders", groupId = "stock", concurrency = "3")
    void stock(Order order) {
        take("stock", order);
    }

    @KafkaListener(topics = "orders", groupId = "billing")
    void billing(Order order) {
        take("billing", order);
    }

    @KafkaListener(topics = "orders", groupId = "shipping")
    void shipping(Order order) {
        take("shipping", order);
    }

    @KafkaListener(topics = "orders", groupId = "statistics", batch = "true")
    void statistics(List<Order> some) {
        some.forEach(order -> take("statistics", order));
    }

    void take(String group, Order order) {
        orders.computeIfAbsent(group, g -> new CopyOnWriteArrayList<>()).add(order);
    }

    @KafkaListener(topics = "payments", groupId = "payments")
    void pay(Payment payment) {
        if (attempts.merge(payment.order(), 1, Integer::sum) <= payment.failures())
            throw new IllegalStateException("the bank does not answer");
        paid.add(payment.order());
    }

    @KafkaListener(topics = "payments-dlt", groupId = "payments-dead")
    void dead(ConsumerRecord<String, Payment> record) {
        dead.add(record);
    }

    // ---- the proof ----

    static boolean failed;

    static void waitFor(String feature, BooleanSupplier condition, java.util.function.Supplier<String> seen) throws InterruptedException {
        long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (!condition.getAsBoolean() && System.nanoTime() < end)
            Thread.sleep(50);
        boolean good = condition.getAsBoolean();
        failed |= !good;
        System.out.println(good ? "pass " + feature : "fail " + feature + " " + seen.get());
    }

    boolean inOrder(String group) {
        List<Order> got = orders.getOrDefault(group, List.of());
        Map<String, Integer> last = new HashMap<>();
        for (Order o : got) {
            Integer before = last.put(o.customer(), o.number());
            if (before != null && before >= o.number())
                return false;
        }
        return got.size() == ORDERS;
    }

    boolean isDead(int order) {
        return dead.stream().anyMatch(r -> r.value().order() == order && r.headers().lastHeader(KafkaHeaders.DLT_EXCEPTION_MESSAGE) != null
            && new String(r.headers().lastHeader(KafkaHeaders.DLT_ORIGINAL_TOPIC).value()).equals("payments"));
    }

    public static void main(String[] arguments) throws Exception {
        String json = "org.springframework.kafka.support.serializer.Json";
        SpringApplication application = new SpringApplication(Shop.class);
        application.setDefaultProperties(Map.of("spring.kafka.bootstrap-servers", System.getenv("KAFKA_BOOTSTRAP"),
            "spring.kafka.producer.value-serializer", json + "Serializer", "spring.kafka.consumer.value-deserializer", json + "Deserializer",
            "spring.kafka.consumer.auto-offset-reset", "earliest", "spring.kafka.consumer.properties.spring.json.trusted.packages", "shop",
            "logging.level.root", "ERROR", "spring.main.banner-mode", "off"));
        ConfigurableApplicationContext context = application.run(arguments);
        Shop shop = context.getBean(Shop.class);
        @SuppressWarnings("unchecked")
        KafkaTemplate<Object, Object> template = context.getBean(KafkaTemplate.class);
        template.send("registrations", "ann", new Registration("ann", "ann@example.org")).get(30, TimeUnit.SECONDS);
        waitFor("registration", () -> shop.mails.contains("ann@example.org"), () -> "mails: " + shop.mails);
        for (int i = 0; i < ORDERS; i++)
            template.send("orders", "customer-" + i % CUSTOMERS, new Order("customer-" + i % CUSTOMERS, i));
        waitFor("fan-out", () -> GROUPS.stream().allMatch(shop::inOrder),
            () -> "orders: " + GROUPS.stream().map(g -> shop.orders.getOrDefault(g, List.of()).size()).toList());
        template.send("payments", "1", new Payment(1, 2)).get(30, TimeUnit.SECONDS);
        waitFor("retries", () -> shop.paid.contains(1), () -> "attempts: " + shop.attempts);
        template.send("payments", "2", new Payment(2, 1000)).get(30, TimeUnit.SECONDS);
        waitFor("dead-letter", () -> shop.isDead(2) && !shop.paid.contains(2), () -> "dead: " + shop.dead);
        context.close();
        System.exit(failed ? 1 : 0);
    }
}
