//! What is set for lanes, and that all processes hear of it.

use postrider_core::{
    domain::{
        lane::{LaneName, LaneSettings},
        limits::LANES_PER_TENANT_MAX,
    },
    store::LaneSet,
};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(
    what_is_set_back_to_the_defaults_is_gone_and_others_hear_of_it,
    a_tenant_sets_so_many_lanes_and_no_more,
);

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

async fn a_tenant_sets_so_many_lanes_and_no_more(stack: Stack) {
    let at = Fixture::make(stack).await;
    let scope = at.store.tenant(at.tenant.id);
    let lane = |n: u32| format!("lane-{n}").parse::<LaneName>().unwrap();
    let pause = |set: &LaneSettings| Some(LaneSettings { paused: true, ..set.clone() });
    let done = |paused| LaneSet::Done(LaneSettings { paused, ..LaneSettings::default() });
    // What is refused, or is so already, sets nothing.
    assert_eq!(scope.change_lane(&lane(0), at.now, |_| None).await.unwrap(), LaneSet::Refused);
    assert_eq!(scope.change_lane(&lane(0), at.now, |set| Some(set.clone())).await.unwrap(), done(false));
    assert_eq!(scope.lanes_set().await.unwrap(), []);
    for n in 0..LANES_PER_TENANT_MAX {
        assert_eq!(scope.change_lane(&lane(n), at.now, pause).await.unwrap(), done(true), "{n}");
    }
    assert_eq!(scope.change_lane(&lane(LANES_PER_TENANT_MAX), at.now, pause).await.unwrap(), LaneSet::TooMany);
    let resume = |set: &LaneSettings| Some(LaneSettings { paused: false, ..set.clone() });
    assert_eq!(scope.change_lane(&lane(0), at.now, resume).await.unwrap(), done(false));
    assert_eq!(scope.change_lane(&lane(LANES_PER_TENANT_MAX), at.now, pause).await.unwrap(), done(true));
    assert_eq!(scope.lanes_set().await.unwrap().len(), LANES_PER_TENANT_MAX as usize);
}
