//! The cases, by what they are about.

mod append;
mod crash;
mod merge;
mod replace;
mod schema;
mod values;

use std::future::Future;
use std::pin::Pin;

use runner_plan::model::{ColumnField, ColumnType};
use serde_json::json;

use super::{Row, SinkHarness, TableSpec, column, row};

type Case<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        /// Every case, not yet begun.
        pub(super) fn all(harness: &dyn SinkHarness) -> Vec<(&'static str, Case<'_>)> {
            vec![$((stringify!($name), Box::pin($module::$name(harness)) as Case<'_>)),*]
        }

        pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

cases! {
    append::the_same_load_twice_is_once,
    append::later_loads_add,
    append::a_stale_load_conflicts,
    append::two_processes_commit_one_load_once,
    append::an_empty_load_leaves_a_mark,
    append::an_empty_load_needs_no_key,
    append::keys_that_are_there_are_skipped,
    append::many_small_parts_become_the_same_rows,
    append::partitions_hold_all_rows,
    crash::sealed_parts_survive_their_process,
    crash::what_is_not_sealed_never_shows,
    crash::buffered_sink_error,
    crash::sealed_parts_that_nobody_recorded_are_left_out,
    crash::discarding_a_part_spares_its_neighbour,
    crash::discarded_parts_are_gone,
    crash::superseded_rows_are_left_out,
    crash::superseded_rows_are_their_inputs_own,
    crash::preparing_twice_is_fine,
    crash::sweeping_spares_recorded_parts,
    merge::the_last_row_of_a_key_wins,
    merge::the_greatest_cursor_wins,
    merge::stored_rows_lose_to_newer_ones_only,
    merge::an_older_load_never_wins_over_a_newer_row,
    merge::insert_only_leaves_what_is_there,
    merge::replayed_rows_merge_by_the_run_that_read_them,
    merge::a_row_without_a_key_is_refused,
    merge::keys_of_several_columns,
    merge::many_keys_in_many_files,
    replace::a_replace_takes_the_place_of_everything,
    replace::resume_with_replace,
    replace::a_replace_of_nothing_empties_the_table,
    replace::a_scope_spares_the_rest,
    replace::a_window_replaces_its_partitions,
    schema::an_unknown_table_has_no_columns,
    schema::parts_of_narrower_types_are_widened,
    schema::columns_may_be_added,
    schema::a_conflicting_type_is_refused,
    values::every_type_comes_back,
    values::nulls_of_every_type_come_back,
    values::names_may_be_anything,
}

/// A test of each case, so that they run side by side and fail one by one. The function given takes a case's name and runs it
/// ([`crate::sink::run_case`]).
#[macro_export]
macro_rules! sink_contract {
    ($check:path) => {
        $crate::sink_contract! {
            $check;
            the_same_load_twice_is_once,
            later_loads_add,
            a_stale_load_conflicts,
            two_processes_commit_one_load_once,
            an_empty_load_leaves_a_mark,
            an_empty_load_needs_no_key,
            keys_that_are_there_are_skipped,
            many_small_parts_become_the_same_rows,
            partitions_hold_all_rows,
            sealed_parts_survive_their_process,
            what_is_not_sealed_never_shows,
            buffered_sink_error,
            sealed_parts_that_nobody_recorded_are_left_out,
            discarding_a_part_spares_its_neighbour,
            discarded_parts_are_gone,
            superseded_rows_are_left_out,
            superseded_rows_are_their_inputs_own,
            preparing_twice_is_fine,
            sweeping_spares_recorded_parts,
            the_last_row_of_a_key_wins,
            the_greatest_cursor_wins,
            stored_rows_lose_to_newer_ones_only,
            an_older_load_never_wins_over_a_newer_row,
            insert_only_leaves_what_is_there,
            replayed_rows_merge_by_the_run_that_read_them,
            a_row_without_a_key_is_refused,
            keys_of_several_columns,
            many_keys_in_many_files,
            a_replace_takes_the_place_of_everything,
            resume_with_replace,
            a_replace_of_nothing_empties_the_table,
            a_scope_spares_the_rest,
            a_window_replaces_its_partitions,
            an_unknown_table_has_no_columns,
            parts_of_narrower_types_are_widened,
            columns_may_be_added,
            a_conflicting_type_is_refused,
            every_type_comes_back,
            nulls_of_every_type_come_back,
            names_may_be_anything,
        }
    };
    ($check:path; $($case:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $check(stringify!($case)).await;
        })*

        #[test]
        fn no_case_is_left_out() {
            assert_eq!($crate::sink::case_names(), [$(stringify!($case)),*]);
        }
    };
}

/// `id` and `name`.
fn people() -> Vec<ColumnField> {
    vec![
        column("id", ColumnType::Integer),
        column("name", ColumnType::String),
    ]
}

fn person(id: i64, name: &str) -> Row {
    row(json!({ "id": id, "name": name }))
}

fn table(name: &str) -> TableSpec {
    TableSpec {
        name: name.to_owned(),
        ..TableSpec::default()
    }
}
