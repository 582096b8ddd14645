//! The terms of a site as options: all of a new one's, or those that change.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use farside_crossing::{Breakglass, Logged, StaleMax};
use farside_service::cli::Failure;
use farside_service::duration::Seconds;
use farside_verify::Algorithm;

use super::read_text;
use crate::site::SiteFault;
use crate::store::{Audience, SiteTerms};
use crate::tiers;

/// What a site's tokens and bundles must be like.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// Its issuer URL, written as `iss`; usually that of its gate.
    #[arg(long, value_name = "URL")]
    pub(super) issuer: Option<String>,
    /// An audience, unique in the realm; a site has one at least.
    #[arg(long = "audience", value_name = "AUDIENCE")]
    pub(super) audiences: Vec<String>,
    /// The oldest state on which its gates still admit, by what a token is shown for, such as
    /// `read=30d,write=24h,safety=1h`; an action left out is as the laxer one before it, and `none` is
    /// until a bundle runs out. [a new site: none]
    #[arg(long, value_name = "TIERS", value_parser = tiers::parse)]
    stale: Option<StaleMax>,
    /// Proof of logging that its gates demand: `no`; `leaf`: the token's log leaf must have crossed;
    /// `staple`: or the token brings its proof along. [a new site: no]
    #[arg(long, value_parser = logged)]
    logged: Option<Logged>,
    /// Whether people's cards may open it in an emergency, where the charter names any: `allowed` or
    /// `forbidden`. [a new site: allowed]
    #[arg(long, value_parser = breakglass)]
    breakglass: Option<Breakglass>,
    /// Whether its gates admit each token once, and never again. [a new site: no]
    #[arg(long, value_name = "YES|NO", value_parser = BoolishValueParser::new())]
    single_use: Option<bool>,
    /// Whether its gates admit only whoever proves the key that the token is bound to: by DPoP, a client
    /// certificate or an SSH login. Other tokens are not issued for it. [a new site: no]
    #[arg(long, value_name = "YES|NO", value_parser = BoolishValueParser::new())]
    holder_bound: Option<bool>,
    /// Let `--stale`, `--logged`, `--breakglass`, `--single-use` and `--holder-bound` change this audience
    /// alone; repeatable.
    /// [all audiences]
    #[arg(long, value_name = "AUDIENCE")]
    only: Vec<String>,
    /// Algorithm of its token keys. [a new site: ES256]
    #[arg(long, value_parser = super::keys::algorithm)]
    algorithm: Option<Algorithm>,
    /// Lifetime of a token that asks for none. [a new site: 15m]
    #[arg(long, value_name = "TIME")]
    lifetime: Option<Seconds>,
    /// Longest lifetime. [a new site: 24h]
    #[arg(long, value_name = "TIME")]
    lifetime_max: Option<Seconds>,
    /// Size budget of a token, in bytes. [a new site: 1024]
    #[arg(long, value_name = "BYTES")]
    token_bytes_max: Option<usize>,
    /// Forgiven difference between clocks. [a new site: 60s]
    #[arg(long, value_name = "TIME")]
    leeway: Option<Seconds>,
    /// Longest time a bundle may take to be applied. [a new site: 24h]
    #[arg(long, value_name = "TIME")]
    courier_interval: Option<Seconds>,
    /// How often `serve` makes a bundle. [a new site: 1h]
    #[arg(long, value_name = "TIME")]
    every: Option<Seconds>,
    /// A role that may be issued. [a new site: any]
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A token profile that may be issued: access, lean or jwt-svid. [a new site: access]
    #[arg(long = "profile", value_name = "PROFILE")]
    profiles: Vec<String>,
    /// Whether its tokens name their place in a status list, for software that looks that up at the gate; its
    /// bundles then carry the signed lists. [a new site: no]
    #[arg(long, value_name = "YES|NO", value_parser = BoolishValueParser::new())]
    status_claim: Option<bool>,
    /// Cedar policies by which its gates decide who may do what, `-` for stdin: docs/policies.md.
    /// [a new site: none, the audience alone decides]
    #[arg(long, value_name = "FILE")]
    cedar: Option<PathBuf>,
}

fn breakglass(name: &str) -> Result<Breakglass, String> {
    Breakglass::from_name(name).ok_or_else(|| "there are allowed and forbidden".to_owned())
}

fn logged(name: &str) -> Result<Logged, String> {
    Logged::from_name(name).ok_or_else(|| "there are no, leaf and staple".to_owned())
}

/// The terms of a new site, but for the two that nobody can choose for it: issuer and audiences.
pub(super) fn usual(sealed: bool) -> SiteTerms {
    SiteTerms {
        issuer: String::new(),
        audiences: Vec::new(),
        algorithm: Algorithm::Es256,
        lifetime_seconds_default: 15 * 60,
        lifetime_seconds_max: 24 * 3_600,
        token_bytes_max: 1_024,
        leeway_seconds: 60,
        courier_seconds: 24 * 3_600,
        every_seconds: 3_600,
        roles_allowed: None,
        profiles: vec!["access".to_owned()],
        sealed,
        status_claim: false,
        cedar: None,
    }
}

/// An audience that demands nothing beyond the ordinary.
pub(super) fn audience(name: &str) -> Audience {
    Audience {
        name: name.to_owned(),
        stale_seconds_max: StaleMax::default(),
        logged: Logged::default(),
        breakglass: Breakglass::default(),
        single_use: false,
        holder_bound: false,
    }
}

impl Terms {
    /// Changes what was named; the rest stays.
    pub(super) fn apply(&self, terms: &mut SiteTerms) -> Result<(), Failure> {
        if let Some(issuer) = &self.issuer {
            terms.issuer.clone_from(issuer);
        }
        self.apply_to_audiences(&mut terms.audiences)?;
        terms.algorithm = self.algorithm.unwrap_or(terms.algorithm);
        let seconds = |given: Option<Seconds>, held: &mut u64| *held = given.map_or(*held, |time| time.0);
        seconds(self.lifetime, &mut terms.lifetime_seconds_default);
        seconds(self.lifetime_max, &mut terms.lifetime_seconds_max);
        seconds(self.leeway, &mut terms.leeway_seconds);
        seconds(self.courier_interval, &mut terms.courier_seconds);
        seconds(self.every, &mut terms.every_seconds);
        terms.token_bytes_max = self.token_bytes_max.unwrap_or(terms.token_bytes_max);
        if !self.roles.is_empty() {
            terms.roles_allowed = Some(self.roles.clone());
        }
        terms.status_claim = self.status_claim.unwrap_or(terms.status_claim);
        if !self.profiles.is_empty() {
            terms.profiles.clone_from(&self.profiles);
        }
        if let Some(file) = &self.cedar {
            terms.cedar = Some(read_text(file)?);
        }
        Ok(())
    }

    /// Audiences that are named replace those held; one that stays keeps what it demands.
    fn apply_to_audiences(&self, audiences: &mut Vec<Audience>) -> Result<(), SiteFault> {
        if !self.audiences.is_empty() {
            let held = std::mem::take(audiences);
            let kept = |name: &String| held.iter().find(|audience| audience.name == *name).cloned();
            *audiences =
                self.audiences.iter().map(|name| kept(name).unwrap_or_else(|| audience(name))).collect();
        }
        if let Some(stranger) = self.only.iter().find(|name| audiences.iter().all(|one| one.name != **name)) {
            return Err(SiteFault::NoSuchAudience(stranger.clone()));
        }
        let meant = |audience: &&mut Audience| self.only.is_empty() || self.only.contains(&audience.name);
        for audience in audiences.iter_mut().filter(meant) {
            audience.stale_seconds_max = self.stale.unwrap_or(audience.stale_seconds_max);
            audience.logged = self.logged.unwrap_or(audience.logged);
            audience.breakglass = self.breakglass.unwrap_or(audience.breakglass);
            audience.single_use = self.single_use.unwrap_or(audience.single_use);
            audience.holder_bound = self.holder_bound.unwrap_or(audience.holder_bound);
        }
        Ok(())
    }
}
