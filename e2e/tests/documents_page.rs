//! The blocks of `docs/documents.md` are what the page says of them: whole documents, or parts that stand over the first one.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use runner_e2e::{Runner, repository};

/// The YAML blocks of the page.
fn blocks() -> Result<Vec<String>> {
    let page = fs::read_to_string(repository().join("docs/documents.md"))?;
    let mut blocks = Vec::new();
    for begun in page.split("```yaml\n").skip(1) {
        let (block, _) = begun.split_once("```").context("a block has no end")?;
        blocks.push(block.to_owned());
    }
    Ok(blocks)
}

#[test]
fn every_block_of_the_page_is_a_document_or_a_part_of_one() -> Result<()> {
    let blocks = blocks()?;
    ensure!(blocks.len() >= 10, "the page has {} blocks", blocks.len());
    let folder = tempfile::tempdir()?;
    let runner = Runner::new(&folder.path().join("data"))?;
    let first = folder.path().join("first.yaml");
    fs::write(&first, blocks.first().context("the page has no block")?)?;
    for (index, block) in blocks.iter().enumerate() {
        let path = folder.path().join(format!("block-{index}.yaml"));
        fs::write(&path, block)?;
        let is_whole = block.starts_with("version:");
        for command in ["validate", "plan"] {
            let invocation = runner.command(&[command]);
            let invocation = if is_whole {
                invocation.arg(&path)
            } else {
                invocation.arg(&first).option("--overlay", &path)
            };
            // A key that nobody knows is a mistake of the page.
            let outcome = invocation.arg("--strict").run()?;
            ensure!(
                outcome.code == Some(0) && !outcome.stderr.contains("UIS0203"),
                "`{command}` of\n{block}\n{}",
                outcome.describe()
            );
        }
    }
    Ok(())
}
