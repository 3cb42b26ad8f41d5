/* SPDX-License-Identifier: MIT
 * A machine that fails: every allocation and every read of a file fails once, and a look at disk in
 * between must leave nothing behind. Linked with --wrap, so that the library's calls come here. */
#include "static_ask.h"

/* Calls until one fails; -1: none does. */
static int malloc_countdown = -1, pread_countdown = -1, pread_error;
static int64_t clock_ahead_s;
static size_t malloc_calls, pread_calls;

/* The names are the linker's. */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
ssize_t __real_pread64(int fd, void *out, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *out, size_t size, off_t offset);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

static bool is_due(int *countdown)
{
    return *countdown >= 0 && (*countdown)-- == 0;
}

void *__wrap_malloc(size_t size)
{
    malloc_calls++;
    return is_due(&malloc_countdown) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    malloc_calls++;
    return is_due(&malloc_countdown) ? NULL : __real_calloc(count, size);
}

/* Reads one byte at a time, so that short reads are the rule. */
ssize_t __wrap_pread64(int fd, void *out, size_t size, off_t offset)
{
    pread_calls++;
    if (is_due(&pread_countdown)) {
        errno = pread_error;
        return pread_error == 0 ? 0 : -1;
    }
    return __real_pread64(fd, out, size > 1 ? 1 : size, offset);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = __real_clock_gettime(clock, now);
    now->tv_sec += clock_ahead_s;
    return result;
}

static void test_open(struct site *site)
{
    struct static_files *files;
    askr_error error;
    malloc_countdown = 0;
    OK(static_open(&files, &site->options, &error) == -ENOMEM && files == NULL,
       "without memory it does not open");
    malloc_countdown = -1;
}

/* Every allocation of one resolution in turn: it is served or it fails, and is well again. */
static void test_memory(struct site *site)
{
    int failed = 0, served = 0;
    for (int nth = 0; nth < 8; nth++) {
        site_open(site);
        malloc_countdown = nth;
        const char *said = site_says(site, "/digits.txt");
        failed += strcmp(said, "failed") == 0;
        served += strcmp(said, "file 0123456789") == 0;
        malloc_countdown = -1;
        OK(site->files->content_total <= 64 && site->files->fd_count <= 1,
           "allocation %d fails: nothing is counted twice", nth);
        site->now_ns += STATIC_FRESH_NS;
        if (strcmp(site_says(site, "/digits.txt"), "file 0123456789") != 0)
            OK(false, "allocation %d fails: the next look is good", nth);
    }
    OK(failed + served == 8 && served > 0, "it is served, or it is a 503");
}

static void test_no_memory_at_all(struct site *site)
{
    site_open(site);
    for (int i = 0; i < 2; i++) {
        malloc_countdown = 1; /* content has memory, its place in the cache has not */
        site_check(site, "/digits.txt", "file 0123456789", "what cannot be remembered is served");
        OK(malloc_countdown == -1 && site->files->route_count == 0, "and forgotten");
    }
    malloc_countdown = 0; /* no memory for the content: it is sent from its descriptor */
    struct static_target target = site_resolve(site, "/digits.txt");
    OK(target.kind == STATIC_FILE && !target.entry->in_memory && target.entry->fd >= 0,
       "what does not fit into memory is sent from the file");
    static_release(target.entry);
    site_open(site);
    malloc_countdown = 0;
    site_check(site, "/nothing", "missing", "no memory to remember that there is nothing");
    malloc_countdown = -1;
}

static void test_reads(struct site *site)
{
    site_open(site);
    pread_calls = 0;
    site_check(site, "/digits.txt", "file 0123456789", "a file that is read byte by byte");
    OK(pread_calls == 10, "took as many reads");
    site_open(site);
    pread_error = EINTR;
    pread_countdown = 3;
    site_check(site, "/digits.txt", "file 0123456789", "an interrupted read is tried again");
    site_open(site);
    pread_error = EIO;
    pread_countdown = 3;
    site_check(site, "/digits.txt", "failed", "a disk that fails is a 503");
    OK(site->files->content_total == 0, "and counts for nothing");
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/digits.txt", "file 0123456789", "until it does not");
    site->now_ns += STATIC_FRESH_NS;
    pread_countdown = 3;
    site_check(site, "/digits.txt", "file 0123456789", "what was there is better than that");
    OK(pread_countdown == -1, "although it was looked for again");
    site_open(site);
    pread_error = 0;
    pread_countdown = 4;
    clock_ahead_s = 3; /* its time stamps could be trusted */
    struct static_target target = site_resolve(site, "/digits.txt");
    OK(target.kind == STATIC_FILE && target.entry->size == 4 && !target.entry->settled,
       "a file that shrinks while it is read is what was there");
    static_release(target.entry);
    site->now_ns += STATIC_FRESH_NS;
    site_check(site, "/digits.txt", "file 0123456789", "and is read again");
    OK(site->files->content_total == 10, "with its size counted right");
    clock_ahead_s = 0;
}

static void test_settling(struct site *site)
{
    site_open(site);
    pread_calls = 0;
    site_says(site, "/digits.txt");
    site->now_ns += STATIC_FRESH_NS;
    site_says(site, "/digits.txt");
    OK(pread_calls == 20, "a file written to a moment ago is read at each look");
    clock_ahead_s = 3;
    site->now_ns += STATIC_FRESH_NS;
    site_says(site, "/digits.txt");
    pread_calls = 0;
    for (int i = 0; i < 10; i++) {
        site->now_ns += STATIC_FRESH_NS;
        site_says(site, "/digits.txt");
    }
    OK(pread_calls == 0, "a few seconds later its time stamps can be trusted");
    clock_ahead_s = 0;
}

static void test_hits_allocate_nothing(struct site *site)
{
    struct http_request request = request_of(HTTP_GET, "Range: bytes=0-0,2-2\n");
    struct static_answer answer;
    site_says(site, "/digits.txt");
    malloc_calls = pread_calls = 0;
    for (int i = 0; i < 100; i++) {
        struct static_target target = site_resolve_for(site, "/digits.txt", "gzip, br");
        static_answer(site->files, target.entry, &request, &answer);
        static_release(target.entry);
    }
    OK(malloc_calls == 0 && pread_calls == 0, "a hit allocates nothing and reads nothing");
}

int main(void)
{
    struct site site;
    ask_init(&site);
    test_open(&site);
    test_memory(&site);
    test_no_memory_at_all(&site);
    test_reads(&site);
    test_settling(&site);
    test_hits_allocate_nothing(&site);
    site_close(&site);
    return TAP_END();
}
