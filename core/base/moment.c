#include "core/base/moment.h"

void (*ak_moment_hook)(const char *name);
