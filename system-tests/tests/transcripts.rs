//! The command line as a person sees it: each `tests/cli/*.txt` is a session, run and compared line by line.
//!
//! ```text
//! $ farside verify …     a command, run in the session's folder, which begins as a copy of tests/cli/files
//! < text                 its standard input, line by line
//! expected output        `[..]` stands for anything within a line
//! ! farside: error: …    expected on standard error
//! ? 1                    the exit code, where it is not 0
//! # …                    a remark
//! ```

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use farside_system_tests::programs::command;

#[derive(Default)]
struct Exchange {
    command: String,
    input: String,
    expected: Vec<String>,
}

#[test]
fn every_transcript_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let mut sessions: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    sessions.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    sessions.sort();
    assert!(!sessions.is_empty());
    sessions.iter().for_each(|session| play(session, &folder.join("files")));
}

fn play(session: &Path, files: &Path) {
    let stage = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(files).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), stage.path().join(file.file_name())).unwrap();
    }
    for exchange in exchanges(&std::fs::read_to_string(session).unwrap()) {
        let said = perform(&exchange, stage.path());
        let fits = said.len() == exchange.expected.len()
            && said.iter().zip(&exchange.expected).all(|(said, expected)| matches(expected, said));
        let (name, line) = (session.display(), &exchange.command);
        let expected = exchange.expected.join("\n");
        assert!(fits, "{name}\n$ {line}\n--- expected\n{expected}\n--- said\n{}\n", said.join("\n"));
    }
}

fn exchanges(text: &str) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(command) = line.strip_prefix("$ farside ") {
            exchanges.push(Exchange { command: command.to_owned(), ..Exchange::default() });
            continue;
        }
        let exchange = exchanges.last_mut().expect("a transcript begins with a command");
        match line.strip_prefix('<') {
            Some(input) => exchange.input += &format!("{}\n", input.trim()),
            None => exchange.expected.push(line.trim_end().to_owned()),
        }
    }
    exchanges
}

/// What was said: standard output, then standard error marked `!`, then the exit code if it is not 0.
fn perform(exchange: &Exchange, stage: &Path) -> Vec<String> {
    let words: Vec<&str> = exchange.command.split_whitespace().collect();
    let mut command = command(&words);
    command.current_dir(stage).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads no input may have closed it already.
    let _ = child.stdin.take().unwrap().write_all(exchange.input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    let mut said: Vec<String> = lines(&output.stdout).into_iter().filter(|line| !line.is_empty()).collect();
    said.extend(lines(&output.stderr).iter().filter(|line| !line.is_empty()).map(|line| format!("! {line}")));
    said.iter_mut().for_each(|line| *line = line.trim_end().to_owned());
    said.extend(output.status.code().filter(|code| *code != 0).map(|code| format!("? {code}")));
    said
}

/// `[..]` matches any run of characters.
fn matches(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once("[..]") else { return pattern == line };
    let Some(line) = line.strip_prefix(start) else { return false };
    (0..=line.len()).filter(|at| line.is_char_boundary(*at)).any(|at| matches(rest, &line[at..]))
}

#[test]
fn wildcards_match_within_a_line() {
    assert!(matches("a[..]c", "abbc") && matches("[..]", "") && matches("x", "x"));
    assert!(!matches("a[..]c", "abcd") && !matches("a", "ab"));
}
