use super::*;

const NOW_MS: u64 = 1_777_284_000_123; // 2026-04-27T10:00:00.123Z

fn read(body: &str) -> Result<(String, String), BodyError> {
    read_answered(body, 4)
}

fn read_answered(body: &str, answered_whole: usize) -> Result<(String, String), BodyError> {
    let sets = ["productIds", "searchCriteria.ProductIds", "productWarehouses"]
        .map(|path| FieldPath::parse(path).unwrap());
    let now_parameter = FieldPath::parse("activeDate").unwrap();
    let rules = BodyRules {
        sets: &sets,
        answered_whole,
        list: None,
        now_parameter: Some(&now_parameter),
        now: Timestamp::from_millis(NOW_MS),
        tolerance: Duration::from_secs(60),
    };
    let body = canonicalise(body.as_bytes(), &rules, &mut |_| {})?;
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    Ok((text(&body.canonical), text(&body.forward)))
}

fn canonical(body: &str) -> Result<String, BodyError> {
    read(body).map(|(canonical, _)| canonical)
}

#[test]
fn members_are_sorted_white_space_is_dropped_and_strings_have_one_spelling() {
    let expected = r#"{"a":[1,{"c":null,"d":true}],"b":"é/\""}"#;
    assert_eq!(
        canonical("{ \"b\" : \"\\u00e9\\/\\u0022\" ,\n\t\"a\": [ 1, {\"d\":true,\"c\":null} ] }"),
        Ok(expected.to_owned())
    );
    assert_eq!(canonical(expected), Ok(expected.to_owned()));
    assert_eq!(canonical(""), Ok(String::new()));
    assert_eq!(canonical("{}"), Ok("{}".to_owned()));
}

#[test]
fn numbers_stay_byte_for_byte() {
    let body = r#"{"a":9007199254740993,"b":1.0,"c":1,"d":-0,"e":1E400}"#;
    assert_eq!(canonical(body).unwrap(), body);
}

#[test]
fn only_a_set_loses_order_and_repetitions() {
    assert_eq!(
        canonical(r#"{"productIds":[3,1,3,2],"x":[3,1,3]}"#).unwrap(),
        r#"{"productIds":[1,2,3],"x":[3,1,3]}"#
    );
    assert_eq!(
        canonical(r#"{"searchCriteria":{"ProductIds":[2,1],"Other":[2,1]}}"#).unwrap(),
        r#"{"searchCriteria":{"Other":[2,1],"ProductIds":[1,2]}}"#
    );
    assert_eq!(
        canonical(r#"{"productWarehouses":[{"b":2,"a":1},{"a":0},{"a":1,"b":2}]}"#).unwrap(),
        r#"{"productWarehouses":[{"a":0},{"a":1,"b":2}]}"#
    );
}

#[test]
fn a_set_that_is_not_answered_whole_keeps_its_order() {
    let body = r#"{"productIds":[3,1,3,2]}"#;
    let sorted = r#"{"productIds":[1,2,3]}"#;
    for (answered_whole, expected) in [(0, body), (1, body), (2, body), (3, sorted)] {
        let (key, forward) = read_answered(body, answered_whole).unwrap();
        assert_eq!((&*key, &*forward), (expected, expected), "{answered_whole}");
    }
    assert_eq!(read_answered(r#"{"productIds":[]}"#, 0).unwrap().0, r#"{"productIds":[]}"#);
}

#[test]
fn type_annotations_are_left_out_of_the_key_and_not_sent() {
    let body = r##"{"@odata.type":"#A.B","ids@odata.type":"#Collection(Int64)","ids":[1]}"##;
    let (key, forward) = read(body).unwrap();
    assert_eq!(key, r#"{"ids":[1]}"#);
    assert_eq!(forward, key);
    assert_eq!(canonical(r#"{"@odata.type":{"a":1}}"#), Err(BodyError::Annotation));
    assert_eq!(canonical(r#"{"@odata.type":"a b"}"#), Err(BodyError::Annotation));
    assert_eq!(canonical(r#"{"@odata.id":"x"}"#).unwrap(), r#"{"@odata.id":"x"}"#);
}

/// Compared each with each, so many would take minutes: whoever sends them would hold a core.
#[test]
fn as_many_annotations_as_a_body_holds_cost_no_more_than_other_members() {
    let annotations: Vec<String> =
        (0..100_000).map(|i| format!(r##""m{i}@odata.type":"#A""##)).collect();
    let body = format!("{{{}}}", annotations.join(","));
    assert_eq!(canonical(&body).unwrap(), "{}");
    let body = format!(r##"{{{},"M0@odata.type":"#A"}}"##, annotations.join(","));
    assert_eq!(canonical(&body), Err(BodyError::DuplicateMember));
}

#[test]
fn a_present_moment_is_ours_and_another_moment_is_exact() {
    let (key, forward) = read(r#"{ "activeDate" : "2026-04-27T12:00:59.9+02:00", "a":1}"#).unwrap();
    assert_eq!(key, r#"{"a":1,"activeDate":now}"#);
    assert_eq!(forward, r#"{"a":1,"activeDate":"2026-04-27T10:00:00.123Z"}"#);
    for other in [r#""2026-04-27T10:01:00.124Z""#, r#""2026-04-27T09:58:59Z""#, r#""now""#, "null"]
    {
        let body = format!(r#"{{"activeDate":{other}}}"#);
        assert_eq!(read(&body).unwrap(), (body.clone(), body));
    }
    let inner = r#"{"x":{"activeDate":"2026-04-27T10:00:00Z"}}"#;
    assert_eq!(canonical(inner).unwrap(), inner);
}

#[test]
fn what_is_sent_is_what_is_keyed() {
    for body in [
        r#"{"productIds":[3,1,3],"b":"\u0061","a":1.0}"#,
        r##"{"productWarehouses":[{"b":1,"a":2},{"a":2,"b":1}], "x@odata.type":"#Evil"}"##,
        r#"{"a":"\u0000","b":"\u001f now"}"#,
    ] {
        let (key, forward) = read(body).unwrap();
        assert_eq!(key, forward);
        assert_eq!(read(&forward), Ok((key, forward.clone())), "{body}");
    }
    let (key, forward) = read(r#"{"z":" now","activeDate":"2026-04-27T10:00:00Z"}"#).unwrap();
    assert_eq!(key, r#"{"activeDate":now,"z":" now"}"#);
    assert_eq!(forward, r#"{"activeDate":"2026-04-27T10:00:00.123Z","z":" now"}"#);
}

#[test]
fn what_two_readers_could_understand_differently_is_refused() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(65), "]".repeat(65));
    for (body, refusal) in [
        (r#"{"a":1,"a":1}"#, BodyError::DuplicateMember),
        (r#"{"a":1,"\u0061":1}"#, BodyError::DuplicateMember),
        (r#"{"productIds":[1],"b":0,"ProductIds":[2]}"#, BodyError::DuplicateMember),
        (r#"{"@odata.type":"A","@odata.type":"B"}"#, BodyError::DuplicateMember),
        (r#"{"@odata.type":"A","@ODATA.type":"B"}"#, BodyError::DuplicateMember),
        (r#"{"a":{"b":1,"b":2}}"#, BodyError::DuplicateMember),
        ("[1]", BodyError::NotAnObject),
        ("\"a\"", BodyError::NotAnObject),
        ("{} {}", BodyError::Malformed),
        (r#"{"a":NaN}"#, BodyError::Malformed),
        (r#"{"a":01}"#, BodyError::Malformed),
        (r#"{"a":1,}"#, BodyError::Malformed),
        (r#"{"a":"\ud800"}"#, BodyError::Malformed),
        ("\u{feff}{}", BodyError::Malformed),
        (" ", BodyError::Malformed),
        (&deep, BodyError::TooDeep),
    ] {
        assert_eq!(canonical(body), Err(refusal), "{body}");
    }
    let rules = BodyRules {
        sets: &[],
        answered_whole: 0,
        list: None,
        now_parameter: None,
        now: Timestamp::default(),
        tolerance: Duration::ZERO,
    };
    let latin1 = canonicalise(b"{\"a\":\"\xe9\"}", &rules, &mut |_| {});
    assert_eq!(latin1, Err(BodyError::Malformed));
}
