//! A binary that is killed at random times loads every row once, in every sink.

use std::time::Duration;

use anyhow::{Result, bail};
use runner_e2e::{
    Random, SEED_VARIABLE, Size, ThreeSinks,
    provision::{POSTGRES, READERS},
    require, run_through_kills,
    servers::Postgres,
};
use serde_json::json;

const KILLS: u32 = 24;
const KILLS_OF_A_FEED: u32 = 12;
/// A feed may end before it was killed that often.
const FEEDS_AT_MOST: u32 = 12;
/// About as long as a whole run takes, so that commits are hit too.
const LONGEST: Duration = Duration::from_millis(1_500);
const SIZE: Size = Size {
    first: 1,
    step: 1,
    rows: 20_000,
    page_rows: 500,
    parents: 1,
    page_delay: Duration::from_millis(40),
};

#[test]
fn every_row_is_loaded_once_whenever_the_binary_is_killed() -> Result<()> {
    let (Some(postgres), Some(python)) = (require(&POSTGRES), require(&READERS)) else {
        return Ok(());
    };
    let seed = Random::chosen_seed();
    println!("{SEED_VARIABLE}={seed}");
    let mut random = Random::new(seed);
    let postgres = Postgres::start(&postgres, &[])?;
    let mut kills = 0;
    for _ in 0..FEEDS_AT_MOST {
        let feed = ThreeSinks::start(
            SIZE,
            &postgres,
            &python,
            json!({"config": {"checkpoint_pages": 5}}),
        )?;
        let wanted = KILLS_OF_A_FEED.min(KILLS - kills);
        kills += run_through_kills(&feed, &mut random, wanted, LONGEST)?;
        feed.check_exact()?;
        if kills == KILLS {
            return Ok(());
        }
    }
    bail!("only {kills} of {KILLS} kills in {FEEDS_AT_MOST} feeds")
}
