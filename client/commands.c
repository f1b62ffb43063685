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
    &cmd_extractor_import,
    &cmd_extractor_train,
    &cmd_extractor_evaluate,
    &cmd_publish,
    &cmd_rollback,
    &cmd_models,
    &cmd_methods,
    &cmd_get,
    &cmd_label,
    &cmd_delete,
    &cmd_job_start,
    &cmd_job_list,
    &cmd_job_show,
    &cmd_job_log,
    &cmd_job_watch,
    &cmd_job_cancel,
    &cmd_job_pause,
    &cmd_job_resume,
    &cmd_job_kinds,
    &cmd_api,
    &cmd_completion,
};

const size_t n_akin_commands = sizeof(akin_commands) / sizeof(akin_commands[0]);
