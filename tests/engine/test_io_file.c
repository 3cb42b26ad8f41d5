/* SPDX-License-Identifier: MIT
 * The I/O contract (io.h): files on their way to a socket. */
#include "io_rig_fds.h"

enum { SIZE = (3 << 20) + 12345 };

struct fixture {
    struct link link;
    struct probe out;
    char *bytes; /* what the file holds */
    int file;
};

static void fixture_up(struct rig *rig, struct fixture *fixture)
{
    char name[] = "/tmp/askr-io-XXXXXX";
    *fixture = (struct fixture){.link = link_up(rig), .out.rig = rig};
    fixture->bytes = malloc(SIZE);
    fixture->file = mkstemp(name);
    assert(fixture->bytes != NULL && fixture->file >= 0);
    unlink(name);
    for (size_t i = 0; i < SIZE; i++)
        fixture->bytes[i] = (char)(i * 13 + i / 257);
    ssize_t written = write(fixture->file, fixture->bytes, SIZE);
    assert(written == SIZE);
}

static void fixture_down(struct rig *rig, struct fixture *fixture)
{
    link_down(rig, fixture->link);
    close(fixture->file);
    free(fixture->bytes);
}

static void begin(struct fixture *fixture, int64_t offset, int64_t size)
{
    struct rig *rig = fixture->out.rig;
    struct io_range range = {.file = fixture->file, .offset = offset, .size = size};
    STARTING(io_sendfile(&rig->io, &fixture->out.op, fixture->link.fd, range, note));
}

/* Take what comes until the op has ended and nothing is left, or `most` bytes. True when it was the
 * file from `offset` on. */
static bool take(struct fixture *fixture, size_t offset, size_t most, size_t *total)
{
    static char sink[1 << 16];
    struct rig *rig = fixture->out.rig;
    bool right = true;
    *total = 0;
    for (int left = 4 * STEPS; left > 0 && *total < most; left--) {
        bool ended = !io_pending(&fixture->out.op);
        size_t got = peer_take(rig, fixture->link, sink, size_min(sizeof sink, most - *total));
        right = right && memcmp(sink, fixture->bytes + offset + *total, got) == 0;
        *total += got;
        if (got == 0 && ended)
            break;
        io_step(&rig->io, got > 0 ? 0 : rig->io.now_ns + NS_PER_MS);
    }
    return right;
}

static void a_file_is_sent_whole(struct rig *rig)
{
    struct fixture fixture;
    size_t total;
    fixture_up(rig, &fixture);
    begin(&fixture, 0, SIZE);
    OK(fixture.out.events == 0, "%s: a sendfile does not end inside its start", rig->name);
    settle(rig);
    OK(fixture.out.events == 0, "%s: a file larger than the socket's buffer waits for its reader",
       rig->name);
    bool right = take(&fixture, 0, SIZE + 1, &total);
    OK(right && total == SIZE, "%s: it arrives whole and unharmed", rig->name);
    OK(fixture.out.events == 1 && fixture.out.final == SIZE && fixture.out.inside == 0,
       "%s: and ends once, with its size", rig->name);
    fixture_down(rig, &fixture);
}

static void any_part_of_a_file_is_sent(struct rig *rig)
{
    static const struct {
        int64_t offset, size;
    } parts[] = {{0, 1},         {1, 1},        {4095, 2},      {4096, 4096},
                 {65535, 65537}, {SIZE - 1, 1}, {12345, 65536}, {100, 200000}};
    struct fixture fixture;
    size_t total;
    bool right = true;
    fixture_up(rig, &fixture);
    lseek(fixture.file, 77, SEEK_SET);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        begin(&fixture, parts[i].offset, parts[i].size);
        right = take(&fixture, (size_t)parts[i].offset, SIZE, &total) && right;
        right = right && total == (size_t)parts[i].size && fixture.out.final == parts[i].size;
    }
    OK(right && fixture.out.events == COUNT_OF(parts),
       "%s: parts of a file arrive, whatever their borders", rig->name);
    OK(lseek(fixture.file, 0, SEEK_CUR) == 77, "%s: and the file's own offset stays", rig->name);
    fixture_down(rig, &fixture);
}

static void a_file_shorter_than_asked_ends_early(struct rig *rig)
{
    struct fixture fixture;
    size_t total;
    fixture_up(rig, &fixture);
    begin(&fixture, SIZE - 70000, INT32_MAX);
    bool right = take(&fixture, SIZE - 70000, SIZE, &total);
    OK(right && total == 70000 && fixture.out.final == 70000,
       "%s: the result of a file that is shorter than asked is what was sent", rig->name);
    begin(&fixture, SIZE, 10);
    UNTIL(rig, fixture.out.finals == 2);
    OK(fixture.out.finals == 2 && fixture.out.final == 0, "%s: 0 from its end on", rig->name);
    begin(&fixture, SIZE + 5, 10);
    UNTIL(rig, fixture.out.finals == 3);
    OK(fixture.out.finals == 3 && fixture.out.final == 0, "%s: and behind it", rig->name);
    fixture_down(rig, &fixture);
}

static void a_file_truncated_on_its_way_ends_early(struct rig *rig)
{
    struct fixture fixture;
    size_t before, after;
    fixture_up(rig, &fixture);
    begin(&fixture, 0, SIZE);
    bool right = take(&fixture, 0, 400000, &before);
    int failed = ftruncate(fixture.file, SIZE / 2 + 1);
    assert(!failed);
    right = take(&fixture, before, SIZE, &after) && right;
    OK(right && before + after == SIZE / 2 + 1 && fixture.out.final == SIZE / 2 + 1,
       "%s: a file cut on its way is sent up to its new end", rig->name);
    OK(fixture.out.events == 1, "%s: and told once", rig->name);
    fixture_down(rig, &fixture);
}

static void what_is_no_file_is_an_error(struct rig *rig)
{
    struct fixture fixture;
    int regular, failed;
    fixture_up(rig, &fixture);
    regular = fixture.file;
    fixture.file = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    begin(&fixture, 0, 10);
    UNTIL(rig, fixture.out.finals == 1);
    OK(fixture.out.events == 1 && fixture.out.final == -EISDIR, "%s: a directory is an error",
       rig->name);
    failed = close(fixture.file);
    assert(!failed);
    begin(&fixture, 0, 10);
    UNTIL(rig, fixture.out.finals == 2);
    OK(fixture.out.finals == 2 && fixture.out.final == -EBADF, "%s: so is what is not open",
       rig->name);
    fixture.file = regular;
    begin(&fixture, 5, 10);
    UNTIL(rig, fixture.out.finals == 3);
    OK(fixture.out.final == 10, "%s: and the connection lives on", rig->name);
    fixture_down(rig, &fixture);
}

static void a_reset_ends_a_file(struct rig *rig)
{
    struct fixture fixture;
    size_t total;
    fixture_up(rig, &fixture);
    begin(&fixture, 0, SIZE);
    take(&fixture, 0, 100000, &total);
    peer_reset(rig, &fixture.link);
    UNTIL(rig, fixture.out.finals == 1);
    OK(fixture.out.events == 1 && (fixture.out.final == -ECONNRESET || fixture.out.final == -EPIPE),
       "%s: a reset ends a file on its way", rig->name);
    begin(&fixture, 0, 10);
    UNTIL(rig, fixture.out.finals == 2);
    OK(fixture.out.final == -EPIPE, "%s: and the next one, without a signal", rig->name);
    fixture_down(rig, &fixture);
}

static void a_recv_goes_on_under_a_file(struct rig *rig)
{
    struct fixture fixture;
    struct probe in = {0};
    size_t before, after;
    fixture_up(rig, &fixture);
    read_on(rig, &in, fixture.link.fd);
    begin(&fixture, 0, SIZE);
    settle(rig);
    peer_send(rig, fixture.link, "ping", 4);
    UNTIL(rig, in.bytes == 4);
    OK(in.bytes == 4 && fixture.out.events == 0, "%s: a recv goes on under a waiting file",
       rig->name);
    bool right = take(&fixture, 0, 1000000, &before);
    peer_send(rig, fixture.link, "pong", 4);
    right = take(&fixture, before, SIZE, &after) && right;
    UNTIL(rig, in.bytes == 8);
    OK(right && before + after == SIZE && fixture.out.final == SIZE && in.bytes == 8,
       "%s: and neither disturbs the other", rig->name);
    stop(rig, &in);
    fixture_down(rig, &fixture);
}

static void many_files_go_at_once(struct rig *rig)
{
    enum { COUNT = 40, PART = 300000 };
    static struct fixture crowd[COUNT];
    struct fixture one;
    bool right = true;
    fixture_up(rig, &one);
    for (int i = 0; i < COUNT; i++) {
        crowd[i] = (struct fixture){
            .link = link_up(rig), .out.rig = rig, .bytes = one.bytes, .file = one.file};
        begin(&crowd[i], i * 1000, PART);
    }
    settle(rig);
    for (int i = COUNT - 1; i >= 0; i--) {
        size_t total;
        right = take(&crowd[i], (size_t)i * 1000, SIZE, &total) && right;
        right = right && total == PART && crowd[i].out.final == PART;
    }
    OK(right, "%s: forty readers, the slowest first, get their own part of one file", rig->name);
    for (int i = 0; i < COUNT; i++)
        link_down(rig, crowd[i].link);
    fixture_down(rig, &one);
}

int main(void)
{
    static rig_test *const tests[] = {
        a_file_is_sent_whole,
        any_part_of_a_file_is_sent,
        a_file_shorter_than_asked_ends_early,
        a_file_truncated_on_its_way_ends_early,
        what_is_no_file_is_an_error,
        a_reset_ends_a_file,
        a_recv_goes_on_under_a_file,
        many_files_go_at_once,
    };
    RIG_RUN_ALL(tests, &(struct io_options){0});
    return TAP_END();
}
