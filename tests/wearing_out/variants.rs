//! A flood of variants: the origin answers by a field whose value the client invents.

use super::flood::{assert_within, flood};
use super::{Client, Scene};

const FIELDS: &str = "cache-control: max-age=3600\r\nvary: x-theme\r\n";
const POLICY: (&str, &str) = ("CSU_EDGE__GENERIC__POLICY", "rfc9111");

fn themed(target: String, at: usize) -> (String, String) {
    (target, format!("x-theme: {at}\r\n"))
}

#[tokio::test]
async fn a_url_has_no_more_variants_than_it_may() {
    let scene = Scene::new(&[POLICY, ("CSU_EDGE__LIMITS__VARIANTS", "8")], FIELDS, b"ok").await;
    let mut client = Client::connect(scene.storefront).await;
    let asks: Vec<_> = (0..2_000).map(|at| themed("/page".to_owned(), at)).collect();
    for batch in asks.chunks(16) {
        client.get_all(batch).await;
    }
    assert_eq!(scene.metric("csu_edge_stored_entries{tier=\"memory\"}").await, 8);
    let gone = "csu_edge_evictions_total{cause=\"variants\",tier=\"memory\"}";
    assert_eq!(scene.metric(gone).await, 1_992);
    // The latest are there.
    assert_eq!(client.get_all(&asks[1_992..]).await, [true; 8]);
    assert_eq!(client.get_all(&asks[..1]).await, [false]);
}

#[tokio::test]
async fn a_flood_of_urls_with_variants_stays_in_memory_and_leaves_the_hot_set() {
    let settings = [POLICY, ("CSU_EDGE__MEMORY__MAX_BYTES", "16MiB")];
    let scene = Scene::new(&settings, FIELDS, &[b'x'; 1_000]).await;
    let hot = |at: usize| themed(format!("/hot/{at}"), 0);
    // Four variants of each, and names long enough for the index of variants to be full too.
    let filler = "y".repeat(100);
    let cold = |at: usize| themed(format!("/page/{}/{filler}", at / 4), at);
    let flooded = flood(&scene, 30_000, hot, cold).await;
    assert_within(&scene, 16).await;
    flooded.assert_hot_set_stayed();
}
