/* transport/link/link_note.h: log lines about refused packets, rate-limited.
 * Why: whoever can send us garbage must not be able to fill our disk with it.
 * At most one line per LINK_NOTE_MS and kind; it says how many it stands for. */
#ifndef DUN_TRANSPORT_LINK_NOTE_H
#define DUN_TRANSPORT_LINK_NOTE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { LINK_NOTE_MS = 5000 };

enum link_note {
    LINK_NOTE_KEY,       /* sealed with a key we do not have */
    LINK_NOTE_PLAIN,     /* plain, but we have a key */
    LINK_NOTE_SEALED,    /* sealed, but we have no key */
    LINK_NOTE_MALFORMED, /* not an envelope */
    LINK_NOTE_REPLAY,
    LINK_NOTE_NAME,  /* for another peer */
    LINK_NOTE_CROWD, /* too many inbound connections */
    LINK_NOTES,
};

struct link_notes {
    pthread_mutex_t lock;
    struct {
        uint64_t next_ms; /* no line before */
        uint64_t held;    /* events since the last line */
    } kind[LINK_NOTES];
};

void link_notes_init(struct link_notes *n);
void link_notes_deinit(struct link_notes *n);
/* Any thread. true: write the line now, for @count events. */
bool link_note_due(struct link_notes *n, enum link_note kind, uint64_t now_ms, uint64_t *count);

#endif
