use super::page::Page;

#[test]
fn lines_are_aligned_and_wrapped() {
    let mut page = Page::default();
    page.heading("Heading");
    page.field("Label", "word ".repeat(30).trim());
    page.table(
        "Table",
        vec![
            vec!["a".to_owned(), "longer".to_owned(), "text ".repeat(20)],
            vec!["größe".to_owned(), String::new(), String::new()],
        ],
    );
    page.block("SQL", "SELECT a\n  FROM b\n");
    let text = page.into_text();
    assert!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    insta::assert_snapshot!(text, @r#"
    Heading
      Label       word word word word word word word word word word word word word word word word word
                  word word word word word word word word word word word word word
      Table       a      longer  text text text text text text text text text text text text text text
                                 text text text text text text
                  größe
      SQL         SELECT a
                    FROM b
    "#);
}
