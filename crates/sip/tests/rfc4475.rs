//! The 49 torture messages of RFC 4475, read from where the corpora lie, must be told as the list
//! beside them says.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{fs, path::PathBuf};

use bytes::Bytes;
use sip::{Fault, Message, Name, Reason};

/// The folder with the messages, or one line that says why this test passes over.
fn folder() -> Option<PathBuf> {
    let beside_the_project = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("VERBUND_CORPUS").map_or_else(beside_the_project, PathBuf::from);
    let folder = corpus.join("rfc4475");
    if folder.is_dir() {
        return Some(folder);
    }
    #[allow(clippy::print_stderr)]
    {
        eprintln!("passed over: no RFC 4475 messages at {} (VERBUND_CORPUS names another place)", folder.display());
    }
    None
}

struct Row {
    file: String,
    structural: bool,
    validated: bool,
    bytes: Bytes,
}

fn rows() -> Vec<Row> {
    let Some(folder) = folder() else { return Vec::new() };
    let manifest = fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    let read = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let bytes = fs::read(folder.join(columns[0])).unwrap().into();
        Row { file: columns[0].to_owned(), structural: columns[4] == "accept", validated: columns[5] == "accept", bytes }
    };
    manifest.lines().skip(1).map(read).collect()
}

/// What is wrong with each message that is refused. `None`: refused already by its structure.
fn wanted_reason(file: &str) -> Reason {
    match file {
        "badinv01.dat" => Reason::Malformed(Name::Via),
        "clerr.dat" => Reason::BodyShort,
        "ncl.dat" => Reason::ContentLength,
        "scalar02.dat" | "scalarlg.dat" => Reason::OutOfRange(Name::CSeq),
        "quotbal.dat" | "badaspec.dat" => Reason::Malformed(Name::To),
        "ltgtruri.dat" | "escruri.dat" => Reason::RequestUri,
        "lwsruri.dat" | "lwsstart.dat" | "trws.dat" => Reason::StartLine,
        "baddate.dat" => Reason::Malformed(Name::Date),
        "regbadct.dat" => Reason::Malformed(Name::Contact),
        "baddn.dat" => Reason::Unterminated,
        "badvers.dat" => Reason::Version,
        "mismatch01.dat" | "mismatch02.dat" => Reason::MethodMismatch,
        "bigcode.dat" => Reason::StatusCode,
        "insuf.dat" => Reason::Missing(Name::From),
        "multi01.dat" => Reason::Twice(Name::CSeq),
        "mcl01.dat" => Reason::ContentLengthTwice,
        other => panic!("{other} must be accepted"),
    }
}

fn validated(bytes: &Bytes) -> Result<(), Fault> {
    Message::parse(bytes.clone())?.validate()
}

#[test]
fn all_49_are_told_as_the_list_says() {
    let rows = rows();
    assert!(rows.is_empty() || rows.len() == 49, "{}", rows.len());
    for row in &rows {
        let structure = Message::parse(row.bytes.clone());
        assert_eq!(structure.is_ok(), row.structural, "{}: {structure:?}", row.file);
        let told = validated(&row.bytes);
        assert_eq!(told.is_ok(), row.validated, "{}: {told:?}", row.file);
        if let Err(fault) = told {
            assert_eq!(fault.reason, wanted_reason(&row.file), "{}", row.file);
        }
        assert_eq!(sip::lint(&row.bytes).is_accepted(), row.validated, "{}", row.file);
    }
    assert!(rows.is_empty() || rows.iter().filter(|row| row.validated).count() == 27);
}

/// The file of the archive lacks the empty line; the fault it was made for shows once it is there.
#[test]
fn a_comma_in_an_unquoted_name_is_found_when_the_head_is_whole() {
    for row in rows().iter().filter(|row| row.file == "baddn.dat") {
        let whole = [&row.bytes[..], b"\r\n"].concat();
        assert_eq!(validated(&whole.into()).unwrap_err().reason, Reason::Malformed(Name::From));
    }
}
