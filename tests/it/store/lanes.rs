//! What is set for lanes, and that all processes hear of it.

use postrider_core::{
    domain::lane::{LaneName, LaneSettings},
    store::LaneSet,
};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(what_is_set_back_to_the_defaults_is_gone_and_others_hear_of_it);

async fn what_is_set_back_to_the_defaults_is_gone_and_others_hear_of_it(stack: Stack) {
    let at = Fixture::make(stack).await;
    let other = Fixture::open(&at.database, [7; 32], "other").await;
    let scope = at.store.tenant(at.tenant.id);
    let [gone, kept]: [LaneName; 2] = ["gone", "kept"].map(|name| name.parse().unwrap());
    let set = async |name: &LaneName, paused: bool, concurrency_max: Option<u32>| {
        let change = |set: &LaneSettings| Some(LaneSettings { paused, concurrency_max, ..set.clone() });
        match scope.change_lane(name, at.now, change).await.unwrap() {
            LaneSet::Done(settings) => settings,
            other => panic!("{other:?}"),
        }
    };
    let heard = async |name: &LaneName| {
        let endpoints = other.directory().endpoints(at.tenant.id).await.unwrap();
        let settings = endpoints.lane(name);
        (settings.paused, settings.concurrency_max)
    };
    set(&gone, true, None).await;
    set(&kept, false, Some(3)).await;
    assert_eq!([heard(&gone).await, heard(&kept).await], [(true, None), (false, Some(3))]);
    assert_eq!(set(&gone, false, None).await, LaneSettings::default());
    assert_eq!([heard(&gone).await, heard(&kept).await], [(false, None), (false, Some(3))]);
    let names: Vec<LaneName> = scope.lanes_set().await.unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, std::slice::from_ref(&kept));
    // One comes as another goes: their number stays.
    set(&kept, false, None).await;
    set(&gone, true, Some(2)).await;
    assert_eq!([heard(&gone).await, heard(&kept).await], [(true, Some(2)), (false, None)]);
}
