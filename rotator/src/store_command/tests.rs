use std::path::Path;

use shared::exit::Exit;

use super::put::PutArgs;
use super::{GetArgs, StoreArgs, StoreCommand, StoreCommandError, StoreFiles, Streams, run};

fn at(folder: &Path) -> StoreFiles {
    StoreFiles { file: folder.join("store"), key_file: folder.join("key") }
}

async fn at_a_terminal(command: StoreCommand) -> (Result<(), StoreCommandError>, Vec<u8>) {
    let (mut input, mut output) = (std::io::empty(), Vec::new());
    let streams =
        Streams { input: &mut input, input_is_terminal: true, output: &mut output, output_is_terminal: true };
    let result = run(&StoreArgs { command }, streams).await;
    (result, output)
}

#[tokio::test]
async fn a_terminal_shows_a_value_only_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = {
        let StoreFiles { file, key_file } = at(folder.path());
        super::FileStore::init(&file, &key_file).unwrap();
        super::FileStore::open("local", &file, &key_file).unwrap()
    };
    store.write("a", shared::secret::Secret::copy_of(br#"{"x":"y"}"#), None).await.unwrap();
    let get = |reveal| {
        let property = Some("x".to_owned());
        StoreCommand::Get(GetArgs {
            at: at(folder.path()),
            path: "a".to_owned(),
            property,
            version: None,
            reveal,
        })
    };
    let (refused, shown) = at_a_terminal(get(false)).await;
    assert_eq!(refused.unwrap_err().exit(), Exit::Usage);
    assert!(shown.is_empty());
    let (revealed, shown) = at_a_terminal(get(true)).await;
    revealed.unwrap();
    assert_eq!(shown, b"y\n");

    // Nobody should find out that they are expected to type JSON blindly.
    let put = PutArgs {
        at: at(folder.path()),
        path: "a".to_owned(),
        property: None,
        property_file: Vec::new(),
        exact: false,
        cas: None,
    };
    let (refused, _) = at_a_terminal(StoreCommand::Put(put)).await;
    assert!(refused.unwrap_err().to_string().starts_with("standard input is a terminal"));
}
