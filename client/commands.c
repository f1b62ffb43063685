/* commands.c -- the list of commands, in the order in which help shows them. */
#include "client/commands.h"

const struct command *const akin_commands[] = {
    &cmd_status,
    &cmd_collection_create,
    &cmd_collection_list,
    &cmd_collection_show,
    &cmd_collection_set,
    &cmd_collection_delete,
    &cmd_ingest,
    &cmd_search,
    &cmd_encode,
    &cmd_score,
    &cmd_eval,
    &cmd_publish,
    &cmd_rollback,
    &cmd_models,
    &cmd_methods,
    &cmd_get,
    &cmd_label,
    &cmd_delete,
    &cmd_api,
    &cmd_completion,
};

const size_t n_akin_commands = sizeof(akin_commands) / sizeof(akin_commands[0]);
