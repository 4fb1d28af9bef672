/* Wrong bytes at the client and peer ports of a real node: a clear end of the connection, and the node serves
 * on. */
#include "tests/cluster/harness.h"
#include "tests/cluster/raw.h"

#include "proto/bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLOSE_MS = 10000 };

static struct local_cluster cluster;

static int start(void **state)
{
    (void)state;
    if (!local_scratch(&cluster, 1)) {
        print_error("%s\n", cluster.error);
        return -1;
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return local_destroy(&cluster) ? 0 : -1;
}

static void assert_serves(void)
{
    int fd = raw_connect(cluster.nodes[0].client_port);
    assert_true(fd >= 0);
    assert_true(raw_hello(fd));
    close(fd);
    assert_int_equal(local_node_state(&cluster, 1, NULL), LOCAL_RUNNING);
}

static void assert_closes(const void *data, size_t size)
{
    const uint16_t ports[] = {cluster.nodes[0].client_port, cluster.nodes[0].peer_port};
    for (int i = 0; i < 2; i++) {
        int fd = raw_connect(ports[i]);
        assert_true(fd >= 0);
        raw_send(fd, data, size); /* the node may close before all is sent */
        assert_true(raw_closed(fd, CLOSE_MS));
        close(fd);
    }
    assert_serves();
}

static void foreign_protocols(void **state)
{
    (void)state;
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    static const unsigned char tls[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0,
                                        0,    0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0};
    assert_closes(http, sizeof(http) - 1);
    assert_closes(tls, sizeof(tls));
}

static void frame_too_long(void **state)
{
    (void)state;
    unsigned char head[FRAME_HEAD_SIZE] = {0};
    store_le32(head, 1u << 30);
    store_le32(head + 4, 10);
    store_le16(head + 8, FRAME_HELLO);
    assert_closes(head, sizeof(head));
    store_le32(head, 100);
    store_le32(head + 4, 0xffffffffu); /* a header longer than its frame */
    assert_closes(head, sizeof(head));
}

static void unknown_version(void **state)
{
    (void)state;
    Flotilla__HelloRequest hello = FLOTILLA__HELLO_REQUEST__INIT;
    struct raw_frame answer;
    hello.min_version = 900;
    hello.max_version = 901;
    int fd = raw_connect(cluster.nodes[0].client_port);
    assert_true(raw_request(fd, FRAME_HELLO, &hello.base, NULL, 0));
    assert_true(raw_receive(fd, &answer, CLOSE_MS)); /* it says why before it closes */
    raw_frame_free(&answer);
    assert_true(raw_closed(fd, CLOSE_MS));
    close(fd);
    assert_serves();
}

/* What a client of a later version says beyond what this node knows is passed over, on every request. */
static void unknown_fields(void **state)
{
    (void)state;
    ProtobufCMessageUnknownField later[] = {
        {.tag = 2047, .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT, .len = 1, .data = (uint8_t[]){42}},
        {.tag = 2046,
         .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
         .len = 4,
         .data = (uint8_t[]){3, 1, 2, 3}},
    };
    Flotilla__HelloRequest hello = FLOTILLA__HELLO_REQUEST__INIT;
    Flotilla__MetadataRequest metadata = FLOTILLA__METADATA_REQUEST__INIT;
    struct raw_frame answer;
    hello.min_version = FRAME_PROTOCOL_MIN;
    hello.max_version = FRAME_PROTOCOL_MAX;
    hello.base.n_unknown_fields = metadata.base.n_unknown_fields = 2;
    hello.base.unknown_fields = metadata.base.unknown_fields = later;
    int fd = raw_connect(cluster.nodes[0].client_port);
    assert_true(raw_request(fd, FRAME_HELLO, &hello.base, NULL, 0));
    assert_true(raw_receive(fd, &answer, CLOSE_MS));
    assert_int_equal(answer.head.type, FRAME_HELLO);
    raw_frame_free(&answer);
    assert_true(raw_request(fd, FRAME_METADATA, &metadata.base, NULL, 0));
    assert_true(raw_receive(fd, &answer, CLOSE_MS));
    Flotilla__MetadataResponse *response =
        flotilla__metadata_response__unpack(NULL, answer.head.header_length, answer.header);
    assert_non_null(response);
    assert_true(response->n_nodes == 1 && (response->status == NULL || response->status->error == 0));
    flotilla__metadata_response__free_unpacked(response, NULL);
    raw_frame_free(&answer);
    close(fd);
}

static void random_bytes(void **state)
{
    (void)state;
    const char *given = getenv("SCENE_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 0) : (unsigned)cli_wall_ms();
    print_message("seed %u (SCENE_SEED replays it)\n", seed);
    for (int round = 0; round < 200; round++) {
        unsigned char bytes[512 + FRAME_HEAD_SIZE];
        size_t size = (size_t)(rand_r(&seed) % 512) + FRAME_HEAD_SIZE;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (unsigned char)rand_r(&seed);
        }
        if (round % 2 == 0) { /* a plausible frame around them */
            frame_head_encode(bytes, (uint16_t)(rand_r(&seed) % 80), 0, 7, size - FRAME_HEAD_SIZE, 0);
        }
        int fd = raw_connect(round % 4 < 2 ? cluster.nodes[0].client_port : cluster.nodes[0].peer_port);
        assert_true(fd >= 0);
        if (round % 3 == 0 && round % 4 < 2) {
            raw_hello(fd);
        }
        raw_send(fd, bytes, size);
        close(fd);
    }
    assert_serves();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_protocols), cmocka_unit_test(frame_too_long),
        cmocka_unit_test(unknown_version),   cmocka_unit_test(unknown_fields),
        cmocka_unit_test(random_bytes),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
