//! Marked rows of files: one bit a row, and none for files without a mark.

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;

/// Rows of some files that are marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    files: Vec<Option<FileMarks>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileMarks {
    words: Vec<u64>,
    count: u64,
}

impl Marks {
    pub fn new(files: usize) -> Self {
        Self {
            files: vec![None; files],
        }
    }

    pub fn mark(&mut self, file: usize, row: u64) {
        if file >= self.files.len() {
            self.files.resize(file + 1, None);
        }
        let marks = self.files[file].get_or_insert_with(|| FileMarks {
            words: Vec::new(),
            count: 0,
        });
        let (word, bit) = (usize::try_from(row / 64).unwrap_or(usize::MAX), row % 64);
        if word >= marks.words.len() {
            marks.words.resize(word + 1, 0);
        }
        if marks.words[word] & (1 << bit) == 0 {
            marks.words[word] |= 1 << bit;
            marks.count += 1;
        }
    }

    pub fn is_marked(&self, file: usize, row: u64) -> bool {
        let word = usize::try_from(row / 64).unwrap_or(usize::MAX);
        self.files
            .get(file)
            .and_then(Option::as_ref)
            .and_then(|marks| marks.words.get(word))
            .is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    /// Marked rows of a file.
    pub fn count(&self, file: usize) -> u64 {
        self.files
            .get(file)
            .and_then(Option::as_ref)
            .map_or(0, |marks| marks.count)
    }

    pub fn total(&self) -> u64 {
        self.files.iter().flatten().map(|marks| marks.count).sum()
    }

    /// Files with a mark.
    pub fn files(&self) -> impl Iterator<Item = usize> {
        self.files
            .iter()
            .enumerate()
            .filter(|(_, marks)| marks.is_some())
            .map(|(file, _)| file)
    }

    /// True for the rows from `first` on that are not marked.
    pub fn kept(&self, file: usize, first: u64, rows: usize) -> BooleanArray {
        let kept =
            BooleanBuffer::collect_bool(rows, |row| !self.is_marked(file, first + row as u64));
        BooleanArray::new(kept, None)
    }

    /// Marks of both.
    pub fn extend(&mut self, other: &Self) {
        for (file, marks) in other.files.iter().enumerate() {
            let Some(marks) = marks else { continue };
            for (index, word) in marks.words.iter().enumerate() {
                for bit in 0..64 {
                    if word & (1 << bit) != 0 {
                        self.mark(file, index as u64 * 64 + bit);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_once_however_often_it_is_marked() {
        let mut marks = Marks::new(2);
        for row in [3, 64, 3] {
            marks.mark(1, row);
        }
        assert_eq!((marks.count(0), marks.count(1), marks.total()), (0, 2, 2));
        assert_eq!(marks.files().collect::<Vec<_>>(), [1]);
        assert!(marks.is_marked(1, 64) && !marks.is_marked(1, 65) && !marks.is_marked(0, 3));
        let kept: Vec<bool> = marks.kept(1, 2, 3).iter().flatten().collect();
        assert_eq!(kept, [true, false, true]);
    }
}
