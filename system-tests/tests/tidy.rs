//! What can be said of the source by reading it. Limits are ratchets: code that outgrows them is parted, not
//! excused.

use std::collections::BTreeSet;

use farside_system_tests::source::{Source, files};

const COLUMNS_MAX: usize = 110;
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

fn judge(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn numbered(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source.text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[test]
fn lines_are_at_most_110_columns() {
    let written = [".rs", ".c"].into_iter().flat_map(files);
    let faults = written.flat_map(|source| {
        let long = numbered(&source).filter(|(_, line)| line.chars().count() > COLUMNS_MAX);
        // rustfmt keeps code to its columns, but for strings; comments have only this test.
        let breakable = long.filter(|(_, line)| line.trim().starts_with("//") || !line.contains('"'));
        let breakable = breakable.filter(|(_, line)| !line.contains("https://"));
        breakable.map(|(number, _)| format!("{}:{number}: too wide", source.path)).collect::<Vec<_>>()
    });
    judge(faults.collect());
}

#[test]
fn files_are_at_most_500_lines() {
    let long = files(".rs").into_iter().filter(|source| source.text.lines().count() > FILE_LINES_MAX);
    judge(long.map(|source| format!("{}: {} lines", source.path, source.text.lines().count())).collect());
}

#[test]
fn functions_are_at_most_70_lines() {
    judge(files(".rs").iter().flat_map(long_functions).collect());
}

/// rustfmt closes a function at the indentation it opened with, so no parser is needed.
fn long_functions(source: &Source) -> Vec<String> {
    let (mut open, mut faults) = (None, Vec::new());
    for (number, line) in numbered(source) {
        let indent = line.len() - line.trim_start().len();
        if open.is_none() && opens_function(line.trim_start()) && !line.trim_end().ends_with([';', '}']) {
            open = Some((number, indent));
        } else if let Some((start, margin)) = open {
            // A declaration in a trait may run over several lines and end without a body.
            let over = indent == margin && (line.trim() == "}" || line.ends_with(';'));
            let lines = number - start + 1;
            if over && lines > FUNCTION_LINES_MAX {
                faults.push(format!("{}:{start}: a function of {lines} lines", source.path));
            }
            open = if over { None } else { open };
        }
    }
    faults
}

fn opens_function(line: &str) -> bool {
    let words = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "extern \"C\" "];
    let mut rest = line;
    while let Some(shorter) = words.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = shorter;
    }
    rest.starts_with("fn ")
}

#[test]
fn markdown_has_one_h1_and_it_stands_first() {
    // Vectors hold other people's texts, as they wrote them.
    let ours = files(".md").into_iter().filter(|source| !source.path.starts_with("vectors/"));
    let faults = ours.filter_map(|source| {
        let mut fenced = false;
        let outside = source.text.lines().filter(|line| {
            let fence = line.starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        });
        let titles = outside.filter(|line| line.starts_with("# ")).count();
        (titles != 1 || !source.text.starts_with("# ")).then(|| format!("{}: {titles} titles", source.path))
    });
    judge(faults.collect());
}

#[test]
fn nothing_is_left_to_be_fixed() {
    // Spelt apart, so that this file does not find itself.
    let marks = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("X", "XX:")];
    let read = [".rs", ".md", ".toml", ".c"].into_iter().flat_map(files);
    let faults = read.flat_map(|source| {
        let marked = numbered(&source).filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)));
        marked.map(|(number, _)| format!("{}:{number}: left to be fixed", source.path)).collect::<Vec<_>>()
    });
    judge(faults.collect());
}

/// Product code may define what is dangerous, in a module of that name, and never calls it.
#[test]
fn what_is_dangerous_is_used_by_tests_alone() {
    let product = |source: &&Source| source.path.contains("crates/") && source.path.contains("/src/");
    let elsewhere = |source: &&Source| !source.path.ends_with("/dangerous.rs");
    let sources = files(".rs");
    let faults = sources.iter().filter(product).filter(elsewhere).flat_map(|source| {
        let used = numbered(source).filter(|(_, line)| line.contains("dangerous_"));
        used.map(|(number, _)| format!("{}:{number}: for tests alone", source.path)).collect::<Vec<_>>()
    });
    judge(faults.collect());
    assert!(sources.iter().any(|source| source.path.ends_with("keys/dangerous.rs")), "where it was");
}

#[test]
fn every_rust_file_opens_with_what_it_is() {
    let silent = files(".rs").into_iter().filter(|source| {
        let first = source.text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        !first.starts_with("//!")
    });
    judge(silent.map(|source| format!("{}: does not open with a `//!` sentence", source.path)).collect());
}

#[test]
fn tests_named_in_threats_exist() {
    let Some(threats) = files("THREATS.md").into_iter().find(|source| source.path == "THREATS.md") else {
        panic!("THREATS.md is missing")
    };
    let sources = files(".rs");
    let rows = numbered(&threats).filter(|(_, line)| line.starts_with("| ") && !line.starts_with("| attack"));
    let faults = rows.flat_map(|(number, line)| {
        let last = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        let missing = names.iter().filter(|name| !test_exists(&sources, name));
        let mut faults: Vec<String> =
            missing.map(|name| format!("THREATS.md:{number}: no test `{name}`")).collect();
        if names.is_empty() {
            faults.push(format!("THREATS.md:{number}: this attack names no test"));
        }
        faults
    });
    judge(faults.collect());
}

/// `verify::header::unknown_crit_is_refused`: a test function of that name, in a file whose path holds the
/// words before it.
fn test_exists(sources: &[Source], name: &str) -> bool {
    let mut words: Vec<&str> = name.split("::").filter(|word| *word != "tests").collect();
    let Some(function) = words.pop() else { return false };
    let declared = format!("fn {function}(");
    sources.iter().any(|source| {
        let path = source.path.replace('-', "_");
        let place = words.iter().all(|word| path.contains(word.trim_start_matches("farside_")));
        place
            && source.text.contains(&declared)
            && (source.text.contains("test") || source.text.contains("#[tokio::test]"))
    })
}

#[test]
fn cited_sections_of_the_spec_exist() {
    let specs: Vec<Source> =
        files(".md").into_iter().filter(|source| source.path.starts_with("spec/")).collect();
    let faults = files(".rs").into_iter().flat_map(|source| {
        let cited = numbered(&source)
            .flat_map(|(number, line)| citations(line).into_iter().map(move |citation| (number, citation)));
        let missing = cited.filter(|(_, (spec, section))| !has_section(&specs, spec, section));
        let fault = |(number, (spec, section))| format!("{}:{number}: no {spec} §{section}", source.path);
        missing.map(fault).collect::<Vec<_>>()
    });
    judge(faults.collect());
}

/// The file's name, a space and a section sign before the number: (file, number).
fn citations(line: &str) -> Vec<(String, String)> {
    let found = ["token.md", "bundle.md", "log.md", "frame.md", "journal.md", "keys.md"]
        .into_iter()
        .flat_map(|spec| {
            let after = line.match_indices(spec).map(move |(at, _)| &line[at + spec.len()..]);
            after.filter_map(move |rest| {
                let section: String = rest
                    .strip_prefix(" §")?
                    .chars()
                    .take_while(|c| c.is_ascii_digit() || *c == '.')
                    .collect();
                Some((spec.to_owned(), section.trim_end_matches('.').to_owned()))
            })
        });
    found.collect()
}

/// `3.2` is a heading that begins so, or the second item of the list below heading 3.
fn has_section(specs: &[Source], spec: &str, section: &str) -> bool {
    let Some(spec) = specs.iter().find(|source| source.path == format!("spec/{spec}")) else { return false };
    let (mut chapter, mut found) = (String::new(), false);
    for line in spec.text.lines() {
        let number = |text: &str| {
            let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            digits.trim_end_matches('.').to_owned()
        };
        if line.starts_with("##") {
            chapter = number(line.trim_start_matches(['#', ' ', '§']));
            found |= chapter == section;
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            found |= format!("{chapter}.{}", number(line)) == section || number(line) == section;
        }
    }
    found
}

#[test]
fn every_refusal_code_stands_in_the_spec() {
    let specs: String =
        files(".md").into_iter().filter(|source| source.path.starts_with("spec/")).map(|s| s.text).collect();
    let token = farside_verify::Code::ALL.iter().map(|code| code.as_str());
    let bundle = farside_crossing::Code::ALL.iter().map(|code| code.as_str());
    let codes: BTreeSet<&str> = token.chain(bundle).collect();
    let missing = codes.into_iter().filter(|code| !specs.contains(&format!("`{code}`")));
    judge(missing.map(|code| format!("`{code}` is not documented in spec/")).collect());
}
