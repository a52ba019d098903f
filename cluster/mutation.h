/* cluster/mutation.h: the hooks DUN_MUTATE(MUTATION_...) for cluster/.
 * Why here: store/ needs them too and may know base/ only. */
#ifndef DUN_CLUSTER_MUTATION_H
#define DUN_CLUSTER_MUTATION_H

#include "base/mutation.h"

#endif
