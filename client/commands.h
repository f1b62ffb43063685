/* commands.h -- every command of `akin`, each in a file of its own. */
#ifndef AK_CLIENT_COMMANDS_H
#define AK_CLIENT_COMMANDS_H

#include "client/tool.h"

extern const struct command cmd_status;
extern const struct command cmd_stats;
extern const struct command cmd_quality;
extern const struct command cmd_collection_create;
extern const struct command cmd_collection_list;
extern const struct command cmd_collection_show;
extern const struct command cmd_collection_set;
extern const struct command cmd_collection_delete;
extern const struct command cmd_ingest;
extern const struct command cmd_search;
extern const struct command cmd_duplicates;
extern const struct command cmd_encode;
extern const struct command cmd_score;
extern const struct command cmd_eval;
extern const struct command cmd_extractor_import;
extern const struct command cmd_extractor_train;
extern const struct command cmd_extractor_evaluate;
extern const struct command cmd_extractor_convert;
extern const struct command cmd_extractor_list;
extern const struct command cmd_extractor_show;
extern const struct command cmd_extractor_export;
extern const struct command cmd_extractor_delete;
extern const struct command cmd_publish;
extern const struct command cmd_finetune;
extern const struct command cmd_promote;
extern const struct command cmd_rollback;
extern const struct command cmd_models;
extern const struct command cmd_methods;
extern const struct command cmd_get;
extern const struct command cmd_label;
extern const struct command cmd_delete;
extern const struct command cmd_job_start;
extern const struct command cmd_job_list;
extern const struct command cmd_job_show;
extern const struct command cmd_job_log;
extern const struct command cmd_job_watch;
extern const struct command cmd_job_cancel;
extern const struct command cmd_job_pause;
extern const struct command cmd_job_resume;
extern const struct command cmd_job_kinds;
extern const struct command cmd_snapshot_create;
extern const struct command cmd_snapshot_list;
extern const struct command cmd_snapshot_verify;
extern const struct command cmd_snapshot_restore;
extern const struct command cmd_snapshot_delete;
extern const struct command cmd_export;
extern const struct command cmd_api;
extern const struct command cmd_completion;

#endif
