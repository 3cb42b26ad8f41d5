/* SPDX-License-Identifier: MIT
 * Compressed forms of small texts that have no precompressed sibling: made when a file is asked for
 * again while it is cached, once for each coding, and kept with it until it changes. They are
 * entries like those of siblings: with an ETag of their own bytes, ranges of which fit together.
 *
 * Bounded: of files that are in memory anyway, within STATIC_CONTENT_TOTAL_MAX, and by whatever the
 * encoder says it can do now; until then, and where it saves too little, the file goes as it is. */
#include <errno.h>

#include "app/static_parts.h"

void static_made_keep(const struct static_found *old, struct static_found *found)
{
    if (old->entries[STATIC_PLAIN] != found->entries[STATIC_PLAIN])
        return;
    for (size_t i = STATIC_BROTLI; i < STATIC_ENCODINGS; i++) {
        struct static_entry *made = old->entries[i];
        if (made == NULL || !made->made || found->entries[i] != NULL)
            continue;
        static_retain(made);
        found->entries[i] = made;
    }
}

/* NULL: not now, or not at all. */
static struct static_entry *make(struct static_files *files, struct static_entry *plain,
                                 enum encoding coding, enum static_encoding place)
{
    char out[STATIC_CONTENT_SIZE_MAX];
    const struct static_encoder *encoder = files->encoder;
    struct slice content = {plain->content, (size_t)plain->size};
    if (files->content_total + content.size > STATIC_CONTENT_TOTAL_MAX)
        return NULL;
    size_t most = content.size - content.size / STATIC_ENCODE_GAIN;
    int64_t size = encoder->encode(encoder->user, coding, content, out, most);
    if (size == 0)
        plain->not_worth |= (uint8_t)(1u << place);
    return size <= 0 ? NULL : static_entry_make(plain, place, (struct slice){out, (size_t)size});
}

/* One that has only just been written to may be read again in a moment. */
static bool is_wanted(struct static_entry *plain, enum static_encoding place)
{
    if (!plain->settled || (plain->not_worth >> place & 1) != 0)
        return false;
    if (plain->asked < STATIC_ENCODE_AFTER)
        plain->asked++;
    return plain->asked == STATIC_ENCODE_AFTER;
}

struct static_entry *static_made_choose(struct static_files *files,
                                        const struct http_request *request,
                                        struct static_found *found, bool remembered)
{
    struct static_entry *plain = found->entries[STATIC_PLAIN];
    struct static_entry *best = found->entries[static_choose(request, found->entries)];
    if (!plain->is_text || (best != plain && !best->made))
        return best; /* what was compressed with care comes first */
    enum encoding coding = files->encoder->choose(files->encoder->user, request);
    if (coding == ENCODING_NONE)
        return best;
    enum static_encoding place = static_encoding_of(coding);
    if (found->entries[place] == NULL && remembered && is_wanted(plain, place))
        found->entries[place] = make(files, plain, coding, place);
    return found->entries[place] != NULL ? found->entries[place] : best;
}
