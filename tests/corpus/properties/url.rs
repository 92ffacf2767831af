//! The canonical form of a URL.

use csu_edge::odata::{QueryOptions, ResourcePath, UrlError};
use csu_edge::proxy::resource::Resource;
use http::{HeaderMap, Method, Uri};

use super::{ROOT, RULES, question, split_target};

/// The longest target that `http` takes.
const MAX_TARGET_BYTES: usize = 65_534;

/// A URL as it is understood, what the key holds of it, and the target that is sent for it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Forms<'t> {
    meaning: (ResourcePath<'t>, QueryOptions<'t>),
    key: (String, String),
    target: String,
}

fn forms(target: &str) -> Option<Result<Forms<'_>, UrlError>> {
    let (path, query) = split_target(target);
    Some(read(ROOT.relative(path)?, query))
}

fn read<'t>(below_root: &'t str, query: Option<&'t str>) -> Result<Forms<'t>, UrlError> {
    let mut path = ResourcePath::parse(below_root)?;
    let mut options = QueryOptions::parse(query, &RULES.ignored_query_options)?;
    path.resolve_aliases(&mut options)?;
    Ok(Forms {
        key: (path.to_string(), options.to_string()),
        target: format!("{}/{}", ROOT.path(), path.target(&options)),
        meaning: (path, options),
    })
}

/// An input is request targets, one on each line.
pub fn url(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let targets: Vec<&str> = text.split('\n').take(4).collect();
    let all: Vec<Option<Forms<'_>>> =
        targets.iter().map(|target| forms(target).and_then(Result::ok)).collect();
    for (target, forms) in targets.iter().zip(&all) {
        if let Some(forms) = forms {
            stays_below_the_root(forms);
            is_a_target(forms);
            is_read_again_as_itself(forms);
            every_spelling_is_one(target, forms);
        }
        the_normal_form_of_any_target_is_its_own(target);
        for method in [Method::GET, Method::POST] {
            what_is_sent_asks_the_same(&method, target);
        }
    }
    for (i, one) in all.iter().enumerate() {
        for other in all.iter().skip(i + 1) {
            if let (Some(one), Some(other)) = (one, other) {
                let is_one = one.meaning == other.meaning;
                assert_eq!(one.key == other.key, is_one, "{one:?} {other:?}");
                assert_eq!(one.target == other.target, is_one, "{one:?} {other:?}");
            }
        }
    }
}

/// What is keyed and sent of a URL that the catalogue does not know is read again as itself, and has
/// no segment that leads elsewhere.
fn the_normal_form_of_any_target_is_its_own(target: &str) {
    let Ok(uri) = target.parse::<Uri>() else { return };
    let read =
        |uri: &Uri| Resource::read(&ROOT, (&Method::GET, uri), HeaderMap::new(), None, &[7; 16]);
    let Ok(resource) = read(&uri) else { return };
    let sent = Uri::from(resource.target.clone());
    let again = read(&sent).expect("a normal form is one to store");
    assert_eq!((&again.target, again.key()), (&resource.target, resource.key()), "{target}");
    let lower = sent.path().to_ascii_lowercase();
    assert!(!lower.split('/').any(|segment| matches!(segment, "." | "..")), "{lower}");
    assert!(!lower.contains("%2f") && !lower.contains("%5c") && !lower.contains("%25"), "{lower}");
}

/// No server reads these characters in two ways, whatever it decodes, and however often.
fn stays_below_the_root(forms: &Forms) {
    let (path, _) = split_target(&forms.target);
    let below = path.strip_prefix("/Commerce/").expect("below the service root");
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~'(),=@".contains(&b);
    let segments: Vec<&str> = below.split('/').collect();
    assert!(segments.len() <= 2, "{path}");
    for segment in segments {
        assert!(segment.bytes().all(plain), "{path}");
        assert!(!matches!(segment, "" | "." | ".."), "{path}");
    }
}

fn is_a_target(forms: &Forms) {
    if forms.target.len() > MAX_TARGET_BYTES {
        return;
    }
    let uri: Uri = forms.target.parse().expect("a target that `http` takes");
    let (path, query) = split_target(&forms.target);
    assert_eq!((uri.path(), uri.query()), (path, query));
    assert!(forms.target.bytes().all(|b| b.is_ascii_graphic()), "{}", forms.target);
}

fn is_read_again_as_itself(sent: &Forms) {
    let again = forms(&sent.target).expect("below the service root");
    assert_eq!(again.as_ref(), Ok(sent));
}

/// Whether a character is percent-encoded, in which case, and in what order options stand says
/// nothing.
fn every_spelling_is_one(target: &str, expected: &Forms) {
    let (path, query) = split_target(target);
    let spellings: [fn(u8) -> String; 2] = [|b| format!("%{b:02X}"), |b| format!("%{b:02x}")];
    for spell in spellings {
        let root_len = ROOT.path().len() + 1;
        let path = path[..root_len].to_owned() + &encoded(&path[root_len..], b"/", spell);
        let mut options: Vec<String> =
            query.unwrap_or_default().split('&').map(|o| encode_option(o, spell)).collect();
        options.reverse();
        let respelled = format!("{path}?{}", options.join("&"));
        let read = forms(&respelled).expect("below the service root");
        assert_eq!(read.as_ref(), Ok(expected), "{target} as {respelled}");
    }
}

fn encode_option(option: &str, spell: fn(u8) -> String) -> String {
    match option.split_once('=') {
        Some((name, value)) => encoded(name, b"+", spell) + "=" + &encoded(value, b"+", spell),
        None => encoded(option, b"+", spell),
    }
}

/// Everything encoded but what stands for something else where it is, and what is so already.
fn encoded(text: &str, kept: &[u8], spell: fn(u8) -> String) -> String {
    let mut encoded = String::new();
    let mut rest = text.as_bytes();
    while let Some(&byte) = rest.first() {
        let mut taken = 1;
        if byte == b'%' {
            taken = rest.len().min(3);
            encoded += &String::from_utf8_lossy(&rest[..taken]);
        } else if kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &spell(byte);
        }
        rest = &rest[taken..];
    }
    encoded
}

/// A whole request: what is sent for a question, asked again, is the same question.
fn what_is_sent_asks_the_same(method: &Method, target: &str) {
    let Some(Ok(asked)) = question(method, target, b"") else { return };
    let sent = asked.forward.path_and_query.as_str();
    let again = question(method, sent, &asked.forward.body)
        .expect("the catalogue knows what is sent")
        .expect("what is sent has a key");
    assert!(asked.key == again.key, "{target}: {sent}");
    assert_eq!(again.forward.path_and_query, sent);
}
