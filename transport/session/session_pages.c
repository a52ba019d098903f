/* transport/session/session_pages.c: what operators and balancers ask for. */
#include "transport/session/session_impl.h"

#include "transport/codec/http.h"

static void metric(struct dun_buf *b, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    dun_buf_printf(b, "# HELP dunlin_%s %s\n# TYPE dunlin_%s %s\ndunlin_%s %llu\n", name, help,
                   name, type, name, (unsigned long long)value);
}

static void write_metrics(const struct session_status *st, struct dun_buf *b)
{
    const struct node_status *n = &st->node;
    metric(b, "ready", "gauge", "1 when this peer may serve clients.", st->ready);
    metric(b, "uptime_seconds", "gauge", "Seconds since the start.", st->uptime_s);
    metric(b, "clients", "gauge", "Connected clients.", st->clients);
    metric(b, "subscriptions", "gauge", "Subscriptions of local clients.", st->subscriptions);
    metric(b, "channels_subscribed", "gauge", "Channels with a local subscriber, by worker.",
           st->channels);
    metric(b, "connections_accepted_total", "counter", "Connections accepted.", st->accepted);
    metric(b, "connections_arriving", "gauge",
           "Connections that wait for their turn to be read from, as many come at once.",
           st->arriving);
    metric(b, "published_total", "counter", "Publishes of local clients committed.", st->published);
    metric(b, "publish_errors_total", "counter", "Publishes of local clients that failed.",
           st->publish_errors);
    metric(b, "delivered_total", "counter", "Messages handed to subscribers.", st->delivered);
    metric(b, "publishers_held_total", "counter",
           "Times a client was read from later for publishing too fast.", st->paced);
    metric(b, "unread_bytes", "gauge", "Output that clients with full sockets have not read.",
           st->unread_bytes);
    metric(b, "clients_shed_total", "counter", "Clients disconnected for leaving too much of it.",
           st->shed);
    metric(b, "voters", "gauge", "Voters of the cluster.", n->voters);
    metric(b, "voters_heard", "gauge", "Voters heard from lately.", n->voters_heard);
    metric(b, "groups", "gauge", "Replication groups.", n->groups);
    metric(b, "groups_normal", "gauge", "Groups in normal operation here.", n->groups_normal);
    metric(b, "groups_primary", "gauge", "Groups this peer is primary of.", n->groups_primary);
    metric(b, "publishes_pending", "gauge", "Publishes waiting for commit.", n->pending);
    metric(b, "ops_committed_total", "counter", "Operations committed.", n->ops_committed);
    metric(b, "view_changes_total", "counter", "View changes.", n->view_changes);
    metric(b, "transfers_total", "counter", "State transfers.", n->transfers);
    metric(b, "snapshots_in_total", "counter", "Snapshots received.", n->snapshots_in);
    metric(b, "snapshots_out_total", "counter", "Snapshots sent.", n->snapshots_out);
    metric(b, "reforms_total", "counter", "Groups formed anew under another epoch.", n->reforms);
    const struct session_links *k = &st->links;
    metric(b, "link_sent_packets_total", "counter", "Packets sent to peers.", k->sent_packets);
    metric(b, "link_sent_bytes_total", "counter", "Bytes sent to peers.", k->sent_bytes);
    metric(b, "link_received_packets_total", "counter", "Packets taken from peers.",
           k->received_packets);
    metric(b, "link_received_bytes_total", "counter", "Bytes taken from peers.", k->received_bytes);
    metric(b, "link_dropped_packets_total", "counter", "Packets dropped for want of room.",
           k->dropped);
    metric(b, "link_refused_packets_total", "counter",
           "Packets with a wrong seal, name or form, or replayed.", k->refused);
    metric(b, "store_channels", "gauge", "Channels in the store.", st->store.channels);
    metric(b, "store_messages", "gauge", "Messages retained.", st->store.messages);
    metric(b, "store_bytes", "gauge", "Bytes accounted for by the store.", st->store.bytes);
    metric(b, "store_evicted_total", "counter", "Messages dropped for memory.", st->store.evicted);
    metric(b, "store_expired_total", "counter", "Messages dropped for age.", st->store.expired);
}

static const char *state_name(enum swim_state state)
{
    switch (state) {
    case SWIM_ALIVE: return "alive";
    case SWIM_SUSPECT: return "suspect";
    case SWIM_DEAD: return "dead";
    case SWIM_LEFT: return "left";
    }
    DUN_UNREACHABLE();
}

static void write_text(struct dun_buf *b, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '<' || *text == '&') {
            dun_buf_printf(b, "&#%d;", *text);
        } else {
            dun_buf_byte(b, (uint8_t)*text);
        }
    }
}

static void write_index(const struct session_hub *h, const struct session_status *st,
                        struct dun_buf *b)
{
    dun_buf_str(b, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Dunlin ");
    write_text(b, h->options->name);
    dun_buf_str(b, "</title><style>body{font:15px/1.5 sans-serif;margin:2em}td,th{padding:.1em 1em "
                   ".1em 0;text-align:left}</style><h1>Dunlin ");
    write_text(b, h->options->name);
    dun_buf_printf(b, "</h1><p>%s", st->ready ? "ready" : "not ready: ");
    write_text(b, st->reason);
    dun_buf_printf(b,
                   "</p><table><tr><td>version<td>%s<tr><td>uptime<td>%llu s<tr><td>clients<td>%llu"
                   "<tr><td>subscriptions<td>%llu<tr><td>groups<td>%u normal, %u primary, of %u"
                   "<tr><td>messages kept<td>%llu<tr><td>committed<td>%llu</table><h2>Peers</h2>"
                   "<table><tr><th>name<th>state<th>clients at",
                   h->options->version, (unsigned long long)st->uptime_s,
                   (unsigned long long)st->clients, (unsigned long long)st->subscriptions,
                   st->node.groups_normal, st->node.groups_primary, st->node.groups,
                   (unsigned long long)st->store.messages,
                   (unsigned long long)st->node.ops_committed);
    for (uint32_t i = 0; i < st->member_count; i++) {
        dun_buf_str(b, "<tr><td>");
        write_text(b, st->members[i].name);
        dun_buf_printf(b, "<td>%s<td>", state_name(st->members[i].state));
        write_text(b, st->members[i].client_addr);
    }
    dun_buf_str(b, "</table><p><a href=\"/metrics\">metrics</a> <a href=\"/readyz\">readyz</a></p>"
                   "</html>\n");
}

/* Name and boot id show which peer answers, and whether it is the life that was meant. */
static void write_ready(const struct session_hub *h, const struct session_status *st,
                        struct dun_buf *b)
{
    dun_buf_printf(b, "{\"ready\":%s,\"name\":", st->ready ? "true" : "false");
    json_write_string(b, dun_slice_str(h->options->name));
    dun_buf_printf(b, ",\"boot\":%llu", (unsigned long long)st->node.boot);
    if (!st->ready) {
        dun_buf_str(b, ",\"reason\":");
        json_write_string(b, dun_slice_str(st->reason));
    }
    dun_buf_printf(b,
                   ",\"voters\":%u,\"voters_heard\":%u,\"groups\":%u,\"groups_normal\":%u,"
                   "\"groups_primary\":%u}\n",
                   st->node.voters, st->node.voters_heard, st->node.groups, st->node.groups_normal,
                   st->node.groups_primary);
}

void session_pages(struct session *s, const struct http_request *req)
{
    struct session_hub *h = s->hub;
    struct dun_buf *b = &h->body;
    struct session_status st;
    const char *type = "application/json", *extra = "Cache-Control: no-store\r\n";
    int status = 200;
    b->len = 0;
    if (dun_slice_is(req->path, "/healthz") || dun_slice_is(req->path, "/health")) {
        dun_buf_str(b, "{}\n");
    } else if (dun_slice_is(req->path, "/readyz")) {
        h->ops.status(h->ops.ctx, &st);
        if (!st.ready) status = 503;
        write_ready(h, &st, b);
    } else if (dun_slice_is(req->path, "/metrics")) {
        h->ops.status(h->ops.ctx, &st);
        type = "text/plain; version=0.0.4; charset=utf-8";
        write_metrics(&st, b);
    } else if (dun_slice_is(req->path, "/")) {
        h->ops.status(h->ops.ctx, &st);
        type = "text/html; charset=utf-8";
        write_index(h, &st, b);
    } else {
        status = 404;
        type = "text/plain; charset=utf-8";
        dun_buf_str(b, "not found\n");
    }
    session_http_answer(s, status, type, dun_buf_view(b), extra);
}
