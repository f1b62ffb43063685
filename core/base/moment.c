#include "core/base/moment.h"

#define NAME(constant, name) [constant] = (name),
const char *const ak_moment_names[AK_N_MOMENTS] = {AK_MOMENTS(NAME)};
#undef NAME

void (*ak_moment_hook)(enum ak_moment_at at);
