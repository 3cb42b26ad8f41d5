/* SPDX-License-Identifier: MIT
 * A port with both ends in one process: what is put on one side comes out on the other, at and
 * beyond every limit. Nothing here sleeps: each call comes when the other end has done its part. */
#include <errno.h>

#include "port_pair.h"
#include "tap.h"

#define TEXT(literal) ((struct askr_text){(literal), sizeof(literal) - 1})

static const struct askr_host *const host = &port_host;

static struct pair ready_pair(void)
{
    struct pair pair = pair_open();
    pair_open_app(&pair);
    host->ready(pair.app);
    struct port_message message;
    must(port_next(pair.worker, &message) == PORT_READY, "ready");
    return pair;
}

static struct http_request http;

static uint32_t put_path(struct pair *pair, const char *path)
{
    struct port_request request = plain_request(&http, path);
    uint32_t tag = 0;
    must(port_put(pair->worker, &request, &tag) == 0, "put");
    port_publish(pair->worker);
    return tag;
}

static struct askr_exchange *take(struct pair *pair)
{
    struct askr_exchange *exchange = NULL;
    must(host->take(pair->app, &exchange, 0) == 1, "take");
    return exchange;
}

static bool text_is(struct askr_text text, const char *wanted)
{
    return text.size == strlen(wanted) && strcmp(text.data, wanted) == 0;
}

static bool slice_is(struct slice slice, const char *wanted)
{
    return slice_equals(slice, slice_of(wanted));
}

/* Drops messages until one of that kind, or none, has come. */
static enum port_event skip_to(struct pair *pair, enum port_event wanted,
                               struct port_message *message)
{
    enum port_event event;
    do
        event = port_next(pair->worker, message);
    while (event != wanted && event != PORT_NONE && event != PORT_BROKEN);
    return event;
}

static void test_an_exchange_goes_through_all_its_messages(void)
{
    struct pair pair = pair_open();
    pair_open_app(&pair);
    struct port_message message;
    OK(port_room(pair.worker) == 0, "nothing may be handed over before the process is ready");
    host->ready(pair.app);
    OK(port_next(pair.worker, &message) == PORT_READY, "ready is the first message");
    OK(port_room(pair.worker) == PORT_SLOTS, "then every slot is free");

    uint32_t tag = put_path(&pair, "/hello");
    struct askr_exchange *exchange = take(&pair);
    struct askr_field hint = {TEXT("Link"), TEXT("</a.css>")};
    struct askr_field fields[] = {{TEXT("A"), TEXT("1")}, {TEXT("Empty"), TEXT("")}};
    OK(host->write(exchange, "x", 1) == -EINVAL, "a body before its head is refused");
    OK(host->interim(exchange, 103, &hint, 1) == 0, "an interim head is taken");
    OK(host->trailers(exchange, fields, 2) == -EOPNOTSUPP, "trailers that nobody asked for");
    OK(host->head(exchange, 200, fields, 2) == 0, "a head is taken");
    OK(host->head(exchange, 200, fields, 2) == -EINVAL, "a second head is refused");
    OK(host->write(exchange, "body", 4) == 0 && host->flush(exchange) == 0, "body and flush");
    OK(host->end(exchange) == 0, "end");
    OK(host->write(exchange, "x", 1) == -EPIPE, "a body after the end is refused");
    host->finish(exchange, ASKR_DONE);

    OK(port_next(pair.worker, &message) == PORT_STARTED && message.tag == tag, "started");
    OK(message.time_ns > 0 && message.time_ns <= clock_now_ns(), "... with the time of it");
    OK(port_next(pair.worker, &message) == PORT_INTERIM && message.status == 103 &&
           message.field_count == 1 && slice_is(message.fields[0].name, "Link") &&
           slice_is(message.fields[0].value, "</a.css>"),
       "interim head with its field");
    OK(port_next(pair.worker, &message) == PORT_HEAD && message.status == 200 &&
           message.field_count == 2 && slice_is(message.fields[0].value, "1") &&
           slice_is(message.fields[1].name, "Empty") && message.fields[1].value.size == 0,
       "head with its fields, an empty value among them");
    OK(port_next(pair.worker, &message) == PORT_BODY && slice_is(message.text, "body"), "body");
    OK(port_next(pair.worker, &message) == PORT_FLUSH && message.tag == tag, "flush");
    OK(port_next(pair.worker, &message) == PORT_END && !message.failed, "end");
    OK(port_next(pair.worker, &message) == PORT_FINISHED && message.tag == tag, "finished");
    OK(port_next(pair.worker, &message) == PORT_NONE, "and nothing more");
    pair_close(&pair);
}

static void test_an_answer_can_fail_before_and_after_its_head(void)
{
    struct pair pair = ready_pair();
    struct port_message message;
    put_path(&pair, "/");
    host->finish(take(&pair), ASKR_FAILED);
    OK(port_next(pair.worker, &message) == PORT_STARTED &&
           port_next(pair.worker, &message) == PORT_END && message.failed &&
           port_next(pair.worker, &message) == PORT_FINISHED,
       "failure before the head: no head, a failed end");
    put_path(&pair, "/");
    host->finish(take(&pair), ASKR_DONE);
    OK(skip_to(&pair, PORT_END, &message) == PORT_END && message.failed,
       "success without a head is a failure");
    put_path(&pair, "/");
    struct askr_exchange *exchange = take(&pair);
    host->head(exchange, 200, NULL, 0);
    host->finish(exchange, ASKR_FAILED);
    OK(skip_to(&pair, PORT_END, &message) == PORT_END && message.failed,
       "failure after the head is said with the end");
    OK(port_next(pair.worker, &message) == PORT_FINISHED, "and the slot is free again");
    pair_close(&pair);
}

static void test_a_request_arrives_whole(void)
{
    struct pair pair = ready_pair();
    struct port_request request = plain_request(&http, "/a%20b?x=1");
    http.query = SLICE("x=1");
    http.content_length = 4;
    request.path = SLICE("/a b");
    request.script_filename = SLICE("/srv/index.php");
    request.script_name = SLICE("/index.php");
    request.path_info = SLICE("/more");
    request.document_root = SLICE("/srv");
    request.remote_address = SLICE("::1");
    request.server_address = SLICE("127.0.0.1");
    request.remote_port = 40000;
    request.server_port = 443;
    request.https = true;
    request.body = SLICE("body");
    request.body_size = 4;
    uint32_t tag;
    OK(port_put(pair.worker, &request, &tag) == 0, "a request fits");
    port_publish(pair.worker);
    struct askr_exchange *exchange = take(&pair);
    const struct askr_request *got = host->request(exchange);
    OK(text_is(got->method, "GET") && text_is(got->target, "/a%20b?x=1") &&
           text_is(got->path, "/a b") && text_is(got->query, "x=1") &&
           text_is(got->host, "localhost"),
       "the request line");
    OK(text_is(got->script_filename, "/srv/index.php") && text_is(got->script_name, "/index.php") &&
           text_is(got->path_info, "/more") && text_is(got->document_root, "/srv"),
       "the script");
    OK(text_is(got->remote_address, "::1") && text_is(got->server_address, "127.0.0.1") &&
           got->remote_port == 40000 && got->server_port == 443 && got->https,
       "the addresses");
    OK(text_is(got->cookie, "") && text_is(got->authorization, "") && got->field_count == 0,
       "what is absent is an empty string");
    OK(got->has_body && got->content_length == 4 && got->protocol == 1001, "the body's facts");
    char body[16];
    OK(host->read(exchange, body, 3) == 3 && memcmp(body, "bod", 3) == 0 &&
           host->read(exchange, body, sizeof body) == 1 && body[0] == 'y' &&
           host->read(exchange, body, sizeof body) == 0,
       "the body, in pieces, and its end");
    pair_close(&pair);
}

static void add_field(const char *name, const char *value)
{
    http.fields[http.field_count++] = (struct http_field){slice_of(name), slice_of(value)};
}

static void test_fields_are_screened_and_picked(void)
{
    struct pair pair = ready_pair();
    struct port_request request = plain_request(&http, "/");
    add_field("X-Fine", "1");
    add_field("X_Not", "2");
    add_field("pRoXy", "http://evil");
    add_field("Proxy-Authorization", "stays");
    add_field("cookie", "a=1");
    add_field("Cookie", "b=2");
    add_field("COOKIE", "c=3");
    add_field("Content-type", "text/plain");
    add_field("Authorization", "Basic eA==");
    add_field("X!Not", "3");
    uint32_t tag;
    must(port_put(pair.worker, &request, &tag) == 0, "put");
    port_publish(pair.worker);
    const struct askr_request *got = host->request(take(&pair));
    OK(got->field_count == 7, "three of ten names do not survive");
    OK(text_is(got->fields[0].name, "X-Fine") && text_is(got->fields[0].value, "1") &&
           text_is(got->fields[1].name, "Proxy-Authorization"),
       "those with other bytes than letters, digits and '-', and Proxy");
    OK(text_is(got->fields[2].name, "cookie") && text_is(got->fields[4].value, "c=3"),
       "the others come as they were sent");
    OK(text_is(got->cookie, "a=1; b=2; c=3"), "cookies are joined");
    OK(text_is(got->content_type, "text/plain") && text_is(got->authorization, "Basic eA=="),
       "what applications want by name is picked out");
    pair_close(&pair);
}

static void test_a_slot_holds_so_much_and_no_more(void)
{
    struct pair pair = ready_pair();
    static char value[PORT_SLOT_SIZE];
    memset(value, 'v', sizeof value);
    struct port_request request = plain_request(&http, "/");
    http.field_count = 1;
    uint32_t tag, before = port_room(pair.worker);
    size_t size = sizeof value;
    int result;
    do {
        http.fields[0] = (struct http_field){SLICE("X"), {value, --size}};
        result = port_put(pair.worker, &request, &tag);
    } while (result == -E2BIG);
    OK(result == 0 && size > HTTP_HEAD_SIZE_MAX + PORT_INLINE_BODY_MAX,
       "a head and a body of the largest size fit together (%zu bytes)", size);
    OK(port_room(pair.worker) == before - 1, "a request that does not fit takes no slot");
    port_publish(pair.worker);
    const struct askr_request *got = host->request(take(&pair));
    OK(got->fields[0].value.size == size && got->fields[0].value.data[size] == '\0' &&
           memcmp(got->fields[0].value.data, value, size) == 0,
       "and the largest that does arrives whole");

    http.field_count = 2;
    http.fields[0] = http.fields[1] = (struct http_field){SLICE("Cookie"), {value, size / 2 - 9}};
    OK(port_put(pair.worker, &request, &tag) == -E2BIG, "a joined cookie that does not fit");
    http.field_count = HTTP_FIELDS_MAX;
    for (int i = 0; i < HTTP_FIELDS_MAX; i++)
        http.fields[i] = (struct http_field){SLICE("X-Many"), SLICE("1")};
    OK(port_put(pair.worker, &request, &tag) == 0, "as many fields as a request may have");
    pair_close(&pair);
}

static void test_there_are_sixteen_slots_and_they_come_in_order(void)
{
    struct pair pair = ready_pair();
    uint32_t tags[PORT_SLOTS], out[PORT_SLOTS], extra;
    bool started[PORT_SLOTS], in_order = true;
    struct port_request request = plain_request(&http, "/");
    for (int i = 0; i < PORT_SLOTS; i++)
        tags[i] = put_path(&pair, "/");
    OK(port_room(pair.worker) == 0 && port_put(pair.worker, &request, &extra) == -EAGAIN,
       "the seventeenth must wait");
    OK(port_outstanding(pair.worker, out, started) == PORT_SLOTS &&
           memcmp(tags, out, sizeof tags) == 0 && !started[0],
       "all are outstanding, oldest first, none started");
    struct port_message message;
    for (int i = 0; i < PORT_SLOTS; i++) {
        host->finish(take(&pair), ASKR_DONE);
        in_order = in_order && port_next(pair.worker, &message) == PORT_STARTED &&
                   message.tag == tags[i] && skip_to(&pair, PORT_FINISHED, &message);
    }
    OK(in_order, "they are served in the order they were put");
    OK(port_room(pair.worker) == PORT_SLOTS, "and leave their slots free");
    uint32_t again = put_path(&pair, "/");
    OK(again != tags[0] && (again & 0xff) == (tags[0] & 0xff), "a slot's next tag is another one");
    pair_close(&pair);
}

static void test_a_request_that_is_not_started_can_be_taken_back(void)
{
    struct pair pair = ready_pair();
    struct port_message message;
    uint32_t first = put_path(&pair, "/1"), second = put_path(&pair, "/2");
    uint32_t third = put_path(&pair, "/3");
    struct askr_exchange *exchange = take(&pair);
    uint32_t tags[PORT_SLOTS];
    bool started[PORT_SLOTS];
    OK(port_outstanding(pair.worker, tags, started) == 3 && tags[0] == first && started[0] &&
           !started[1],
       "shared memory tells that the first was started before its message was read");
    OK(!port_revoke(pair.worker, first), "what was started stays");
    OK(port_revoke(pair.worker, second), "what was not comes back");
    OK(port_room(pair.worker) == PORT_SLOTS - 2, "and its slot is free");
    uint32_t fourth = put_path(&pair, "/4");
    host->finish(exchange, ASKR_DONE);
    OK(text_is(host->request(exchange = take(&pair))->path, "/3"),
       "the application passes over what was taken back");
    host->finish(exchange, ASKR_DONE);
    OK(text_is(host->request(exchange = take(&pair))->path, "/4"),
       "also when its slot is in use again");
    host->finish(exchange, ASKR_DONE);
    uint32_t seen[3], count = 0;
    while (skip_to(&pair, PORT_FINISHED, &message) == PORT_FINISHED && count < 3)
        seen[count++] = message.tag;
    OK(count == 3 && seen[0] == first && seen[1] == third && seen[2] == fourth,
       "three were finished");
    pair_close(&pair);
}

static void test_revoked_requests_fill_the_queue_but_do_not_break_it(void)
{
    struct pair pair = ready_pair();
    int count = 0;
    while (port_room(pair.worker) > 0 && count < 100000) {
        must(port_revoke(pair.worker, put_path(&pair, "/")), "revoke");
        count++;
    }
    OK(count == 256, "the queue holds so many that a busy application has not passed yet");
    struct askr_exchange *exchange;
    OK(host->take(pair.app, &exchange, 0) == 0, "for the application all of them are nothing");
    OK(port_room(pair.worker) == PORT_SLOTS, "and then there is room again");
    pair_close(&pair);
}

static void test_an_abort_reaches_every_call(void)
{
    struct pair pair = ready_pair();
    struct port_message message;
    uint32_t tag = put_path(&pair, "/");
    struct askr_exchange *exchange = take(&pair);
    OK(!host->aborted(exchange) && host->head(exchange, 200, NULL, 0) == 0, "at first all is well");
    port_abort(pair.worker, tag);
    char byte;
    OK(host->aborted(exchange) && host->write(exchange, "x", 1) == -ECONNABORTED &&
           host->flush(exchange) == -ECONNABORTED && host->end(exchange) == -ECONNABORTED &&
           host->read(exchange, &byte, 1) == -ECONNABORTED,
       "then each call says that the client has left");
    host->finish(exchange, ASKR_DONE);
    OK(skip_to(&pair, PORT_FINISHED, &message) == PORT_FINISHED && message.tag == tag,
       "the exchange still finishes");
    put_path(&pair, "/");
    OK(!host->aborted(take(&pair)), "the slot's next request is not aborted");
    pair_close(&pair);
}

static void test_a_head_has_limits(void)
{
    struct pair pair = ready_pair();
    struct port_message message;
    static struct askr_field fields[PORT_FIELDS_MAX + 1];
    static char value[65536];
    memset(value, 'v', sizeof value);
    for (int i = 0; i <= PORT_FIELDS_MAX; i++)
        fields[i] = (struct askr_field){TEXT("N"), TEXT("v")};
    put_path(&pair, "/");
    struct askr_exchange *exchange = take(&pair);
    OK(host->head(exchange, 200, fields, PORT_FIELDS_MAX + 1) == -E2BIG, "one field too many");
    OK(host->head(exchange, 199, fields, 1) == -EINVAL &&
           host->head(exchange, 1000, fields, 1) == -EINVAL &&
           host->interim(exchange, 101, fields, 1) == -EINVAL,
       "statuses that are none");
    fields[0].value = (struct askr_text){value, sizeof value};
    OK(host->head(exchange, 200, fields, 1) == -E2BIG, "one field too large");
    const uint32_t others = 8 + 1 + 10 * (PORT_FIELDS_MAX - 1); /* 8 bytes in front of each field */
    fields[0].value.size = sizeof value - others + 1;
    OK(host->head(exchange, 200, fields, PORT_FIELDS_MAX) == -E2BIG, "one byte too many");
    fields[0].value.size -= 1;
    OK(host->head(exchange, 200, fields, PORT_FIELDS_MAX) == 0, "exactly all that fits");
    OK(skip_to(&pair, PORT_HEAD, &message) == PORT_HEAD && message.field_count == PORT_FIELDS_MAX &&
           message.fields[0].value.size == fields[0].value.size,
       "arrives");
    pair_close(&pair);
}

static void test_body_bytes_wrap_around_the_ring(void)
{
    struct pair pair = ready_pair();
    static char sent[PORT_RESPONSE_RING_SIZE], got[PORT_RESPONSE_RING_SIZE];
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i * 31 + i / 251);
    const size_t sizes[] = {1, 15, 16, 17, 65535, 65536, 65537, 100000, 130000, 0, 3};
    bool same = true;
    int split = 0;
    for (size_t round = 0; round < 20 * COUNT_OF(sizes); round++) {
        size_t size = sizes[round % COUNT_OF(sizes)], have = 0;
        put_path(&pair, "/");
        struct askr_exchange *exchange = take(&pair);
        host->head(exchange, 200, NULL, 0);
        must(host->write(exchange, sent, size) == 0, "write");
        host->finish(exchange, ASKR_DONE);
        struct port_message message;
        int pieces = 0;
        for (enum port_event event; (event = port_next(pair.worker, &message)) != PORT_NONE;) {
            must(event != PORT_BROKEN, "broken");
            if (event == PORT_BODY) {
                memcpy(got + have, message.text.data, message.text.size);
                have += message.text.size;
                pieces++;
            }
        }
        split += size <= 65536 && pieces == 2;
        same = same && have == size && memcmp(sent, got, size) == 0;
    }
    OK(same, "bodies of all sizes come out as they went in");
    OK(split > 0, "also those that were split by the end of the ring");
    pair_close(&pair);
}

static void test_a_large_request_body_flows_through_its_ring(void)
{
    struct pair pair = ready_pair();
    static char sent[3 * PORT_BODY_RING_SIZE], got[sizeof sent + 1];
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i * 7 + i / 253);
    struct port_request request = plain_request(&http, "/");
    request.body_size = sizeof sent;
    uint32_t tag;
    must(port_put(pair.worker, &request, &tag) == 0, "put");
    port_publish(pair.worker);
    OK(port_body_room(pair.worker) == 0, "nothing is fed before the request is started");
    struct askr_exchange *exchange = take(&pair);
    struct port_message message;
    must(port_next(pair.worker, &message) == PORT_STARTED, "started");
    OK(port_body_room(pair.worker) == PORT_BODY_RING_SIZE, "then the whole ring is free");
    size_t fed = 0, have = 0;
    while (have < sizeof sent) {
        size_t room = port_body_room(pair.worker);
        port_body_write(pair.worker, (struct slice){sent + fed, room});
        port_publish(pair.worker);
        fed += room;
        int64_t size = host->read(exchange, got + have, 100000);
        must(size > 0, "read");
        have += (size_t)size;
    }
    OK(memcmp(sent, got, sizeof sent) == 0, "it arrives as it was sent");
    OK(host->read(exchange, got, 1) == 0, "and then its end");
    OK(port_body_room(pair.worker) == 0, "no more than was announced is asked for");
    host->finish(exchange, ASKR_DONE);
    pair_close(&pair);
}

static void test_room_for_a_body_keeps_the_worker_awake_once(void)
{
    struct pair pair = ready_pair();
    static char bytes[PORT_BODY_RING_SIZE];
    struct port_request request = plain_request(&http, "/");
    request.body_size = sizeof bytes + 1;
    uint32_t tag;
    must(port_put(pair.worker, &request, &tag) == 0, "put");
    port_publish(pair.worker);
    struct askr_exchange *exchange = take(&pair);
    struct port_message message;
    must(skip_to(&pair, PORT_STARTED, &message) == PORT_STARTED, "started");
    must(port_next(pair.worker, &message) == PORT_NONE, "none");
    port_body_write(pair.worker, (struct slice){bytes, port_body_room(pair.worker)});
    port_publish(pair.worker);
    OK(port_arm(pair.worker), "a full body ring lets the worker sleep");
    must(host->read(exchange, bytes, 10) == 10, "read");
    OK(!port_arm(pair.worker), "room in it does not");
    OK(port_arm(pair.worker), "unless the worker has nothing to put there");
    OK(port_body_room(pair.worker) == 1, "no more room than the body has left is offered");
    pair_close(&pair);
}

static void test_an_unread_body_does_not_spoil_the_next_one(void)
{
    struct pair pair = ready_pair();
    static char first[PORT_INLINE_BODY_MAX + 1], second[sizeof first], got[sizeof first];
    memset(first, '1', sizeof first);
    memset(second, '2', sizeof second);
    struct port_message message;
    for (int i = 0; i < 100; i++) {
        struct port_request request = plain_request(&http, "/");
        request.body_size = sizeof first;
        uint32_t tag;
        must(port_put(pair.worker, &request, &tag) == 0, "put");
        port_publish(pair.worker);
        struct askr_exchange *exchange = take(&pair);
        must(skip_to(&pair, PORT_STARTED, &message) == PORT_STARTED, "started");
        must(port_body_room(pair.worker) == sizeof first, "room");
        port_body_write(pair.worker, (struct slice){i < 99 ? first : second, sizeof first});
        port_publish(pair.worker);
        if (i == 99)
            OK(host->read(exchange, got, sizeof got) == sizeof got &&
                   memcmp(got, second, sizeof got) == 0,
               "the hundredth reads its own bytes, not the ninety-nine unread before it");
        host->finish(exchange, ASKR_DONE);
        must(skip_to(&pair, PORT_FINISHED, &message) == PORT_FINISHED, "finished");
    }
    pair_close(&pair);
}

static void test_a_drained_port_serves_what_it_has(void)
{
    struct pair pair = ready_pair();
    put_path(&pair, "/");
    port_drain(pair.worker);
    port_publish(pair.worker);
    OK(port_room(pair.worker) == 0, "nothing more is handed over");
    struct askr_exchange *exchange = take(&pair);
    host->finish(exchange, ASKR_DONE);
    OK(host->take(pair.app, &exchange, -1) == -ESHUTDOWN, "after the last one the process may go");
    pair_close(&pair);
}

static void test_a_process_that_cannot_boot_says_why(void)
{
    struct pair pair = pair_open();
    pair_open_app(&pair);
    struct port_message message;
    static char why[PORT_BOOT_ERROR_MAX + 100];
    memset(why, 'w', sizeof why - 1);
    host->boot_failed(pair.app, why);
    OK(port_next(pair.worker, &message) == PORT_BOOT_FAILED &&
           message.text.size == PORT_BOOT_ERROR_MAX &&
           memcmp(message.text.data, why, PORT_BOOT_ERROR_MAX) == 0,
       "the reason arrives, cut at its limit");
    OK(port_room(pair.worker) == 0 && port_next(pair.worker, &message) == PORT_NONE,
       "and the port is over");
    pair_close(&pair);
}

static void test_memory_that_could_be_taken_away_is_refused(void)
{
    askr_error error;
    struct port *port;
    int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int open_fd = memfd_create("port", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    must(ftruncate(open_fd, (off_t)port_shm_size()) == 0, "truncate");
    int small_fd = sealed_memory(4096);
    OK(port_open(&port, open_fd, bell, &error) == -EINVAL, "not sealed: %s", error.text);
    OK(port_open(&port, small_fd, bell, &error) == -EINVAL, "too small: %s", error.text);
    OK(port_open(&port, bell, bell, &error) < 0, "no memory at all: %s", error.text);
    close(bell);
    close(open_fd);
    close(small_fd);
}

int main(void)
{
    test_an_exchange_goes_through_all_its_messages();
    test_an_answer_can_fail_before_and_after_its_head();
    test_a_request_arrives_whole();
    test_fields_are_screened_and_picked();
    test_a_slot_holds_so_much_and_no_more();
    test_there_are_sixteen_slots_and_they_come_in_order();
    test_a_request_that_is_not_started_can_be_taken_back();
    test_revoked_requests_fill_the_queue_but_do_not_break_it();
    test_an_abort_reaches_every_call();
    test_a_head_has_limits();
    test_body_bytes_wrap_around_the_ring();
    test_a_large_request_body_flows_through_its_ring();
    test_room_for_a_body_keeps_the_worker_awake_once();
    test_an_unread_body_does_not_spoil_the_next_one();
    test_a_drained_port_serves_what_it_has();
    test_a_process_that_cannot_boot_says_why();
    test_memory_that_could_be_taken_away_is_refused();
    return TAP_END();
}
