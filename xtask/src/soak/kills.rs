//! `SIGKILL` at random times, over and over: every row is at every destination once.

use std::time::Duration;

use anyhow::Result;
use runner_e2e::{
    Random, Size, ThreeSinks,
    provision::{POSTGRES, READERS},
    run_through_kills,
    servers::Postgres,
};
use serde_json::json;

use super::{Ground, Options};

const SIZE: Size = Size {
    first: 1,
    step: 1,
    rows: 100_000,
    page_rows: 500,
    parents: 1,
    page_delay: Duration::from_millis(5),
};
/// Kills of one feed before it may end; then another begins.
const KILLS_OF_A_FEED: u32 = 10;
/// Longer than a whole run takes, so that commits are hit too.
const LONGEST: Duration = Duration::from_millis(1500);

pub(super) fn run(ground: &Ground, options: &Options) -> Result<String> {
    let postgres = Postgres::start(&ground.cache.find(&POSTGRES)?, &[])?;
    let mut random = Random::new(ground.seed);
    let (mut kills, mut feeds) = (0, 0);
    while kills < options.kills {
        let wanted = KILLS_OF_A_FEED.min(options.kills - kills);
        kills += one_feed(ground, &postgres, &mut random, wanted)?;
        feeds += 1;
        println!("  {kills} kills, {feeds} feeds exact");
    }
    Ok(format!("{kills} kills over {feeds} feeds"))
}

fn one_feed(ground: &Ground, postgres: &Postgres, random: &mut Random, kills: u32) -> Result<u32> {
    let python = ground.cache.find(&READERS)?;
    let feed = ThreeSinks::start_with(&ground.binary, SIZE, postgres, &python, json!({}))?;
    let done = run_through_kills(&feed, random, kills, LONGEST)?;
    feed.check_exact()?;
    Ok(done)
}
