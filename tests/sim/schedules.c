/* tests/sim/schedules.c: schedules written by hand. */
#include "sim.h"

const struct sim_schedule sim_schedules[] = {{"none", NULL}};
const uint32_t sim_schedule_count = 0;
