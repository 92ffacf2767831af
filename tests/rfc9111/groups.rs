//! Groups of stored answers (RFC 9875).

use crate::origin::{ok, status};
use crate::play::{Scene, scene, table};

const LASTING: &str = "cache-control: max-age=3600";

/// Stores an answer of these groups beside the scene's target.
async fn member(scene: &Scene, name: &str, groups: &[&str]) -> Scene {
    let member = scene.beside(name);
    let lines: Vec<String> = groups.iter().map(|line| format!("cache-groups: {line}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).chain([LASTING]).collect();
    member.answers([ok(&lines)]);
    member.get(&[]).await.forwarded();
    member.get(&[]).await.reused();
    member
}

/// The stored answer's groups, those that are invalidated, and whether it is one of them.
type Row<'a> = (&'a [&'a str], &'a [&'a str], bool);

async fn invalidated(rows: &[Row<'_>]) {
    table(
        rows,
        |row| format!("{row:?}"),
        async |scene, &(groups, invalidated, hit)| {
            let member = member(&scene, "-member", groups).await;
            let lines: Vec<String> = invalidated
                .iter()
                .map(|line| format!("cache-group-invalidation: {line}"))
                .collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            scene.answers([ok(&lines)]);
            scene.send("POST", &[]).await.forwarded();
            let told = member.get(&[]).await;
            if hit {
                told.forwarded()
            } else {
                told.reused()
            };
        },
    )
    .await;
}

/// RFC 9875 §2, §3: two lists of strings that share one, compared character by character.
#[tokio::test]
async fn an_unsafe_request_may_invalidate_a_group() {
    invalidated(&[
        (&["\"a\""], &["\"a\""], true),
        (&["\"a\", \"b\""], &["\"b\""], true),
        (&["\"a\",\"b\""], &["\"x\", \"b\", \"y\""], true),
        (&["\"a\"", "\"b\""], &["\"b\""], true),
        (&["\"b\""], &["\"a\"", "\"b\""], true),
        (&["\"of shoes, red\""], &["\"of shoes, red\""], true),
        (&["\"a \\\"b\\\"\""], &["\"a \\\"b\\\"\""], true),
        (&["\"\""], &["\"\""], true),
        (&["\"a\""], &["\"b\""], false),
        (&["\"a\""], &["\"A\""], false),
        (&["\"a\""], &["\"a \""], false),
        (&["\"ab\""], &["\"a\""], false),
        (&["\"a, b\""], &["\"b\""], false),
        (&["\"a\""], &["\"*\""], false),
        (&["\"a\""], &[], false),
        (&[], &["\"a\""], false),
        // RFC 9875 §2, §3: parameters are ignored.
        (&["\"a\";x=1"], &["\"a\""], true),
        (&["\"a\""], &["\"a\";x;y=\"b\""], true),
        (&["\"a\""], &["\"x\";a=\"a\""], false),
    ])
    .await;
}

/// RFC 9651 §1.1, §4.2: a field that is no list of strings is ignored as a whole.
#[tokio::test]
async fn a_field_that_is_no_list_of_strings_is_ignored() {
    invalidated(&[
        (&["\"a\""], &["a"], false),
        (&["\"a\""], &["\"a"], false),
        (&["\"a\""], &["\"a\","], false),
        (&["\"a\""], &["\"a\" \"b\""], false),
        (&["\"a\""], &["\"a\", @"], false),
        (&["\"a\""], &["\"a\", 1"], false),
        (&["\"a\""], &["(\"a\")"], false),
        (&["\"a\""], &["'a'"], false),
        (&["a"], &["\"a\""], false),
        (&["\"a\", b"], &["\"a\""], false),
        (&["\"a\", \"b"], &["\"a\""], false),
        (&["1"], &["\"1\""], false),
    ])
    .await;
}

/// RFC 9875 §2: at least 32 groups of 32 characters.
#[tokio::test]
async fn at_least_32_groups_of_32_characters_are_known() {
    let names: Vec<String> = (0..32).map(|n| format!("\"{n:032}\"")).collect();
    let all = names.join(", ");
    let all = [all.as_str()];
    let first = [names[0].as_str()];
    let last = [names[31].as_str()];
    invalidated(&[(&all, &first, true), (&all, &last, true), (&last, &all, true)]).await;
}

#[tokio::test]
async fn a_group_is_invalidated_whole_and_no_other() {
    let scene = scene([ok(&["cache-group-invalidation: \"a\""])]).await;
    let one = member(&scene, "-1", &["\"a\""]).await;
    let two = member(&scene, "-2", &["\"b\", \"a\""]).await;
    let other = member(&scene, "-3", &["\"b\""]).await;
    let none = member(&scene, "-4", &[]).await;
    scene.send("DELETE", &[]).await.forwarded();
    one.get(&[]).await.forwarded();
    two.get(&[]).await.forwarded();
    // RFC 9875 §2: it does not go on to the groups of what it reached.
    other.get(&[]).await.reused();
    none.get(&[]).await.reused();
    // And what is fetched after it is valid.
    one.get(&[]).await.reused();
}

/// RFC 9875 §3: MUST be ignored where the request is safe.
#[tokio::test]
async fn a_safe_request_invalidates_no_group() {
    table(
        &[("GET", 200), ("HEAD", 200), ("OPTIONS", 200), ("GET", 404)],
        |row| format!("{row:?}"),
        async |scene, &(method, code)| {
            let member = member(&scene, "-member", &["\"a\""]).await;
            scene.answers([status(code, &["cache-group-invalidation: \"a\""])]);
            scene.send(method, &[]).await.forwarded();
            member.get(&[]).await.reused();
        },
    )
    .await;
}

#[tokio::test]
async fn every_unsafe_method_may_invalidate_a_group() {
    table(
        &["POST", "PUT", "PATCH", "DELETE", "FOO"],
        |method| (*method).to_owned(),
        async |scene, method| {
            let member = member(&scene, "-member", &["\"a\""]).await;
            scene.answers([status(204, &["cache-group-invalidation: \"a\""])]);
            scene.send(method, &[]).await.forwarded();
            member.get(&[]).await.forwarded();
        },
    )
    .await;
}

/// RFC 9875 §2.1 with §3.2: the groups are those that the stored answer has now.
#[tokio::test]
async fn a_304_may_change_the_groups() {
    let scene = scene([ok(&["cache-group-invalidation: \"new\""])]).await;
    let member = scene.beside("-member");
    member.answers([
        ok(&["cache-control: max-age=60", "etag: \"a\"", "cache-groups: \"old\""]),
        status(304, &["cache-control: max-age=60", "etag: \"a\"", "cache-groups: \"new\""]),
        ok(&["cache-control: max-age=60"]),
    ]);
    member.get(&[]).await.forwarded();
    member.later(70);
    member.get(&[]).await.validated().body("#1");
    member.get(&[]).await.reused();
    scene.send("POST", &[]).await.forwarded();
    member.get(&[]).await.forwarded();
}

/// The fields are the origin's, and end-to-end.
#[tokio::test]
async fn the_groups_are_told_to_caches_further_out() {
    let scene = scene([ok(&[LASTING, "cache-groups: \"a\", \"b\""])]).await;
    scene.get(&[]).await.forwarded().field("cache-groups", "\"a\", \"b\"");
    scene.get(&[]).await.reused().field("cache-groups", "\"a\", \"b\"");
}
