use super::{TemplateError, make, make_text, seeded};

fn made(template: &str) -> String {
    make(template, &mut seeded(7)).unwrap()
}

#[test]
fn the_same_seed_makes_the_same_sample_and_another_seed_another() {
    let template = "ghp_{base62:30}{crc32:6}";
    assert_eq!(made(template), made(template));
    assert_ne!(made(template), make(template, &mut seeded(8)).unwrap());
    assert_eq!(made(template).len(), 40);
}

#[test]
fn classes_draw_only_their_own_letters() {
    let text = made("{[a-c_:-]:200}");
    assert_eq!(text.len(), 200);
    assert!(text.chars().all(|letter| "abc_:-".contains(letter)));
    assert!(made("{HEX:64}").chars().all(|letter| letter.is_ascii_digit() || ('A'..='F').contains(&letter)));
}

#[test]
fn braces_are_written_twice() {
    assert_eq!(made("a{{b}}c"), "a{b}c");
    assert_eq!(make_text("k={secret};", "S", &mut seeded(1)).unwrap(), "k=S;");
}

#[test]
fn templates_nest_in_base64() {
    use base64::Engine;
    let decoded = base64::engine::general_purpose::STANDARD.decode(made("{b64:me:{digits:4}}")).unwrap();
    assert!(decoded.starts_with(b"me:") && decoded.len() == 7);
}

#[test]
fn mistakes_are_named() {
    let error = |template: &str| make(template, &mut seeded(1)).unwrap_err();
    assert_eq!(error("{base62:4"), TemplateError::Brace);
    assert_eq!(error("}"), TemplateError::Brace);
    assert_eq!(error("{nothing}"), TemplateError::Unknown("nothing".to_owned()));
    assert_eq!(error("{secret}"), TemplateError::Unknown("secret".to_owned()));
    assert_eq!(error("{hex:0}"), TemplateError::Length("hex:0".to_owned()));
    assert_eq!(error("{hex:99999}"), TemplateError::Length("hex:99999".to_owned()));
}
