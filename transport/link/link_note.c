/* transport/link/link_note.c: see the header. */
#include "transport/link/link_note.h"

#include "base/assert.h"

#include <string.h>

void link_notes_init(struct link_notes *n)
{
    memset(n, 0, sizeof *n);
    int rc = pthread_mutex_init(&n->lock, NULL);
    DUN_ASSERT(rc == 0);
}

void link_notes_deinit(struct link_notes *n)
{
    pthread_mutex_destroy(&n->lock);
}

bool link_note_due(struct link_notes *n, enum link_note kind, uint64_t now_ms, uint64_t *count)
{
    DUN_ASSERT(kind < LINK_NOTES);
    pthread_mutex_lock(&n->lock);
    uint64_t held = ++n->kind[kind].held;
    bool due = now_ms >= n->kind[kind].next_ms;
    if (due) {
        n->kind[kind].held = 0;
        n->kind[kind].next_ms = now_ms + LINK_NOTE_MS;
        *count = held;
    }
    pthread_mutex_unlock(&n->lock);
    return due;
}
