//! Many who ask at once (§4, RFC 9211 §2.6): one fetch for all whom its answer fits, and for each of
//! the others one of its own.

use tokio::task::JoinSet;

use crate::origin::{Answer, not_modified, ok, status};
use crate::play::{Play, Scene, Told};
use crate::support::wire::soon;

const PLAIN: &[&str] = &[];

async fn held(answers: impl Into<Vec<Answer>>) -> Scene {
    let scene = Play::start().await.scene("crowd");
    scene.answers(answers);
    scene.origin().hold(true);
    scene
}

/// How many wait for another's fetch.
async fn waiters(scene: &Scene) -> f64 {
    scene.play().node.metric("csu_edge_collapse_waiters").await
}

/// One client after another asks with these fields; once all are in, the origin answers.
async fn crowd(scene: &Scene, clients: &[&[&str]], waiting: f64) -> Vec<Told> {
    let mut crowd = JoinSet::new();
    let before = scene.asked().len();
    for (n, lines) in clients.iter().enumerate() {
        let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        let scene_of_client = scene.clone();
        crowd.spawn(async move {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            (n, scene_of_client.get(&lines).await)
        });
        if n == 0 {
            scene.asked_often(before + 1).await;
        }
    }
    let all_wait = async {
        while waiters(scene).await < waiting {
            tokio::task::yield_now().await;
        }
    };
    soon(all_wait).await;
    scene.origin().hold(false);
    let mut told = soon(crowd.join_all()).await;
    told.sort_by_key(|(n, _)| *n);
    told.into_iter().map(|(_, told)| told).collect()
}

#[tokio::test]
async fn one_fetch_serves_all_who_wait_for_it() {
    let scene = held([ok(&["cache-control: max-age=60"])]).await;
    let told = crowd(&scene, &[PLAIN; 6], 5.0).await;
    for told in &told {
        told.status(200).body("#1");
    }
    assert_eq!(scene.asked().len(), 1);
    let collapsed = told.iter().filter(|told| told.member().contains("collapsed")).count();
    assert_eq!(collapsed, 5);
}

/// §3: what may not be stored by a shared cache is for the one who asked.
#[tokio::test]
async fn an_answer_that_may_not_be_shared_is_fetched_for_each() {
    for line in ["cache-control: no-store", "cache-control: private", "vary: *"] {
        let scene = held([ok(&[line])]).await;
        let told = crowd(&scene, &[PLAIN; 4], 3.0).await;
        let mut bodies: Vec<String> = told.iter().map(|told| told.got.text()).collect();
        bodies.sort();
        assert_eq!(bodies, ["#1", "#2", "#3", "#4"], "{line}");
        assert_eq!(scene.asked().len(), 4, "{line}");
    }
}

/// §4.2, §5.2.2.4: no-cache needs a validation for each who did not ask when it was sent; an answer
/// that is over on arrival is for those at most who waited for it.
#[tokio::test]
async fn what_needs_validation_every_time_is_not_given_to_who_comes_later() {
    let scene = held([ok(&["cache-control: no-cache"])]).await;
    crowd(&scene, &[PLAIN; 3], 2.0).await;
    let before = scene.asked().len();
    let told = scene.get(&[]).await;
    told.forwarded();
    assert_eq!(scene.asked().len(), before + 1);
}

/// §4.1: what comes is measured by each one's own fields.
#[tokio::test]
async fn variants_that_wait_on_one_fetch_get_each_their_own() {
    let scene = held([ok(&[])]).await;
    scene.answers_by(|seen, _| {
        let of = seen.field("x-a").unwrap_or_default();
        ok(&["cache-control: max-age=60", "vary: x-a"]).body(&of)
    });
    let clients: [&[&str]; 6] =
        [&["x-a: 1"], &["x-a: 2"], &["x-a: 1"], &["x-a: 3"], &["x-a: 2"], &["x-a: 1"]];
    let told = crowd(&scene, &clients, 0.0).await;
    for (told, body) in told.iter().zip(["1", "2", "1", "3", "2", "1"]) {
        told.status(200).body(body);
    }
    for value in ["1", "2", "3"] {
        scene.get(&[&format!("x-a: {value}")]).await.reused().body(value);
    }
}

/// §3.5: credentials are not shared while they wait, either.
#[tokio::test]
async fn clients_with_credentials_get_each_their_own() {
    let scene = held([ok(&[])]).await;
    scene.answers_by(|seen, _| {
        let of = seen.field("authorization").unwrap_or_default();
        ok(&["cache-control: max-age=60"]).body(&of)
    });
    let clients: [&[&str]; 4] = [
        &["authorization: Bearer ann"],
        &["authorization: Bearer bob"],
        &["authorization: Bearer ann"],
        &[],
    ];
    // All who name themselves are in, so none of them comes upon what the one who does not is told.
    let told = crowd(&scene, &clients, 2.0).await;
    for (told, body) in told.iter().zip(["Bearer ann", "Bearer bob", "Bearer ann", ""]) {
        told.status(200).body(body);
    }
}

/// §4.3: one validation confirms for all.
#[tokio::test]
async fn one_validation_serves_all_who_wait_for_it() {
    let scene =
        held([ok(&["cache-control: max-age=10", "etag: \"a\""]), not_modified(&["etag: \"a\""])])
            .await;
    scene.origin().hold(false);
    scene.get(&[]).await.forwarded();
    scene.later(20);
    scene.origin().hold(true);
    let told = crowd(&scene, &[PLAIN; 5], 4.0).await;
    for told in &told {
        told.status(200).body("#1");
    }
    assert_eq!(scene.asked().len(), 2);
}

/// §4.3.2: those who wait may ask on conditions of their own, or for a part.
#[tokio::test]
async fn conditions_and_ranges_of_who_waits_are_met() {
    let lines = ["cache-control: max-age=60", "etag: \"a\""];
    let scene = held([ok(&lines).body("0123456789")]).await;
    let clients: [&[&str]; 4] =
        [&[], &["if-none-match: \"a\""], &["range: bytes=2-5"], &["if-none-match: \"b\""]];
    let told = crowd(&scene, &clients, 0.0).await;
    told[0].status(200).body("0123456789");
    told[3].status(200).body("0123456789");
    // Each was answered by its own question, from whatever fetch.
    assert!([200, 304].contains(&told[1].got.status.as_u16()), "{:?}", told[1]);
    assert!([200, 206].contains(&told[2].got.status.as_u16()), "{:?}", told[2]);
    if told[2].got.status == 206 {
        told[2].body("2345");
    }
}

/// §4.2.4: a failure is told to all who wait.
#[tokio::test]
async fn a_failure_is_told_to_all_who_wait() {
    let scene = held([status(503, &["cache-control: max-age=5"]).body("sick")]).await;
    let told = crowd(&scene, &[PLAIN; 4], 3.0).await;
    for told in &told {
        told.status(503).body("sick");
    }
    assert_eq!(scene.asked().len(), 1);
}

/// §5.2.1.5: who asks that nothing be stored is not the one whose answer is stored for others.
#[tokio::test]
async fn a_request_with_no_store_is_not_fetched_for_others() {
    let scene = held([ok(&["cache-control: max-age=60"])]).await;
    let clients: [&[&str]; 3] = [&["cache-control: no-store"], &[], &[]];
    let told = crowd(&scene, &clients, 0.0).await;
    for told in &told {
        told.status(200);
    }
    assert!(scene.asked().len() >= 2, "{:?}", scene.asked());
    scene.get(&[]).await.reused();
}

/// §3.5: where the origin says that its answer is for all, those who ask as somebody wait too; for
/// one another, and nobody else for them.
#[tokio::test]
async fn clients_with_cookies_wait_for_one_another() {
    let scene = held([ok(&["cache-control: public, max-age=60"])]).await;
    let clients: Vec<String> = (0..10).map(|n| format!("cookie: sid={n}")).collect();
    let clients: Vec<[&str; 1]> = clients.iter().map(|line| [line.as_str()]).collect();
    let clients: Vec<&[&str]> = clients.iter().map(|lines| &lines[..]).collect();
    for told in crowd(&scene, &clients, 9.0).await {
        told.status(200).body("#1");
    }
    assert_eq!(scene.asked().len(), 1);
}

#[tokio::test]
async fn nobody_waits_for_one_who_asks_as_somebody() {
    for credentials in ["cookie: sid=1", "authorization: Bearer ann", "x-api-key: 1"] {
        let scene = held([ok(&["cache-control: public, max-age=60"])]).await;
        let as_somebody = async { scene.get(&[credentials]).await };
        let as_nobody = async {
            scene.asked_often(1).await;
            scene.get(&[]).await
        };
        let origin = async {
            scene.asked_often(2).await;
            scene.origin().hold(false);
        };
        let (one, other, ()) = tokio::join!(as_somebody, as_nobody, origin);
        one.status(200).body("#1");
        other.status(200).body("#2");
    }
}

/// Whoever fetches is told an answer that fits nobody else. After two such rounds nobody waits for
/// another's answer any more, so that there are not as many rounds as clients.
#[tokio::test]
async fn an_origin_that_varies_by_another_field_each_time_holds_nobody_up_for_long() {
    const CLIENTS: usize = 12;
    // On one thread a fetch lands and is forgotten before anybody acts on it, so that the rounds can
    // be told apart.
    let scene = Play::start_with(|config| config.listen.workers = 1).await.scene("crowd");
    scene.origin().hold(true);
    scene.answers_by(|seen, _| {
        let own = seen.fields.iter().find(|(name, _)| name.starts_with("x-of-"));
        let own = own.map_or("", |(name, _)| name);
        ok(&["cache-control: max-age=60", &format!("vary: {own}")]).body(own)
    });
    let mut crowd = JoinSet::new();
    for n in 0..CLIENTS {
        let scene = scene.clone();
        crowd.spawn(async move { (n, scene.get(&[&format!("x-of-{n}: 1")]).await) });
    }
    let mut rounds = 0;
    loop {
        soon(scene.asked_often(rounds + 1)).await;
        let all_wait = async {
            let waiting = || (CLIENTS - scene.asked().len()) as f64;
            while waiters(&scene).await < waiting() {
                tokio::task::yield_now().await;
            }
        };
        soon(all_wait).await;
        if scene.asked().len() == CLIENTS {
            break;
        }
        scene.origin().let_one_go();
        rounds += 1;
    }
    assert_eq!(rounds, 2);
    scene.origin().hold(false);
    for (n, told) in soon(crowd.join_all()).await {
        told.status(200).body(&format!("x-of-{n}"));
    }
    assert_eq!(scene.asked().len(), CLIENTS);
}
