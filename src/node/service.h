/* service.h: what the node does for one worker's executors while they wait: state, calls, HTTP.
 *
 * Each executor has a stream to the node (rpc.h). A watching thread notices the first request on
 * one; from then on a thread of its own serves it, one request after the other, so that what waits
 * for a disk or for another node holds up nobody else. A request names the tenant that it speaks
 * for; one whose functions this worker was never sent is refused, whatever runs in the worker. When
 * the worker ends, so do its streams and with them the threads.
 *
 * Threads: service_start and service_stop are the loop's. */
#ifndef WM_NODE_SERVICE_H
#define WM_NODE_SERVICE_H

#include "faaslet/link.h"
#include "node/mailbox.h"
#include "node/node.h"

struct service;
struct workers;

WM_MUST_CHECK int service_start(struct node *node, struct workers *workers, struct mailbox *mailbox,
                                struct link *link, struct service **out, struct wm_diag *diag);
/* From now on requests may speak for this tenant as well; -ENOMEM. Loop thread. */
WM_MUST_CHECK int service_admit(struct service *service, const char *tenant);
/* Does not wait: what is being served ends soon. NULL allowed. */
void service_stop(struct service *service);
/* Called now and then where there are other nodes: ends waits that have taken their time. NULL
 * allowed. */
void service_tick(struct service *service);
/* Waits until all that were stopped have ended: before what they use is closed. */
void service_wait_all(void);

#endif
