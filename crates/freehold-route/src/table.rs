//! What a client may name in `model`, and the deployments each name leads to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use freehold_policy::Constraint;
use freehold_types::{
    BackendId, Capability, Deployment, DeploymentId, Dialect, Error, ErrorKind, Objective,
    PriceBasis, Sensitivity, Site, Weights,
};

use crate::pattern::{captured, literal_length, matches_pattern};

/// A route leads to at most so many deployments.
const DEPLOYMENTS_MAX: usize = 64;
/// Routes that lead to routes do so at most so deep.
const DEPTH_MAX: usize = 8;
/// Longest name a client may give.
const NAME_BYTES_MAX: usize = 256;
/// How many near names an error lists.
const NEAR_NAMES_MAX: usize = 3;
/// Most attempts a plan may have, whatever the configuration says.
const ATTEMPTS_MAX: u32 = 8;

/// How long each phase of an attempt may take; `None` leaves the gateway's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// Until the connection stands.
    pub connect_ms: Option<u64>,
    /// Until the first byte.
    pub first_byte_ms: Option<u64>,
    /// Between two pieces.
    pub idle_ms: Option<u64>,
}

/// How a route chooses and tries.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSettings {
    /// What counts. `Ordered` is a fallback list.
    pub objective: Objective,
    /// The route's own weights; `None` takes the objective's.
    pub weights: Option<Weights>,
    /// Added to the difficulty to get the quality that is good enough: above zero asks for more.
    pub quality_margin: f64,
    /// Whether owned machines cost their busy time; otherwise they are paid for anyway and cost nothing.
    pub count_busy_time: bool,
    /// The least sensitive label of the route's requests.
    pub sensitivity: Option<Sensitivity>,
    /// What the route demands of backends.
    pub constraint: Constraint,
    /// How long an attempt may take.
    pub timeouts: RouteTimeouts,
    /// Deployments tried at most; between 1 and 8.
    pub max_attempts: u32,
    /// Further tries of one deployment before the next.
    pub retries: u32,
    /// Also ask the next deployment when the first has not answered by then.
    pub hedge_after_ms: Option<u64>,
}

impl Default for RouteSettings {
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            weights: None,
            quality_margin: 0.0,
            count_busy_time: false,
            sensitivity: None,
            constraint: Constraint::default(),
            timeouts: RouteTimeouts::default(),
            max_attempts: 3,
            retries: 1,
            hedge_after_ms: None,
        }
    }
}

/// A route as the configuration gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSpec {
    /// What clients write: a name, or a pattern with `*`. Names win over patterns, specific patterns
    /// over general ones.
    pub name: String,
    /// Where it leads: `backend/model`, a bare model name, another route, or a pattern. In a pattern
    /// route a target's `*` stands for what the route's `*` stood for.
    pub targets: Vec<String>,
    /// How it chooses.
    pub settings: RouteSettings,
}

/// How models that nobody listed are paid for.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelPricing {
    /// At the price book's price under this provider id, by the model's name.
    Listed {
        /// The price book's provider id.
        provider: String,
    },
    /// All at the same price.
    Same(PriceBasis),
}

/// A backend that accepts model names nobody listed: the deployment is made when it is named.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendTemplate {
    /// The backend.
    pub backend: BackendId,
    /// Where it runs.
    pub site: Site,
    /// The wire formats it speaks, preferred first.
    pub dialects: Vec<Dialect>,
    /// What its models can do; `None` assumes everything, so that the backend itself refuses.
    pub capabilities: Option<BTreeSet<Capability>>,
    /// The context window; `None` when unknown.
    pub context_window_tokens: Option<u32>,
    /// How its models are paid for.
    pub pricing: ModelPricing,
    /// Prior belief in their quality, 0 to 1.
    pub quality: f64,
    /// Prior belief in their speed.
    pub tokens_per_second: f64,
    /// Prior belief in their time to the first token.
    pub first_token_ms: u32,
    /// Bare model names (patterns with `*`) that lead here, e.g. `gpt-*`.
    pub model_patterns: Vec<String>,
}

impl BackendTemplate {
    fn deployment(&self, model: &str) -> Arc<Deployment> {
        let price = match &self.pricing {
            ModelPricing::Same(basis) => basis.clone(),
            ModelPricing::Listed { provider } => PriceBasis::Listed {
                provider: provider.clone(),
                model: model.to_owned(),
            },
        };
        Arc::new(Deployment {
            id: DeploymentId::from(format!("{}/{model}", self.backend)),
            backend: self.backend.clone(),
            model: model.to_owned(),
            site: self.site.clone(),
            dialects: self.dialects.clone(),
            capabilities: self.capabilities.clone().unwrap_or_else(everything),
            context_window_tokens: self.context_window_tokens,
            price,
            quality: self.quality,
            tokens_per_second: self.tokens_per_second,
            first_token_ms: self.first_token_ms,
        })
    }
}

/// Everything a chat model may be able to do.
fn everything() -> BTreeSet<Capability> {
    [
        Capability::Chat,
        Capability::Completions,
        Capability::Tools,
        Capability::Images,
        Capability::Audio,
        Capability::Files,
        Capability::JsonObject,
        Capability::JsonSchema,
        Capability::Logprobs,
        Capability::Choices,
        Capability::Reasoning,
    ]
    .into()
}

/// Where a client's name leads.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The route's name; for names that no route has, the name itself.
    pub name: String,
    /// The deployments, in the route's order; never empty.
    pub deployments: Vec<Arc<Deployment>>,
    /// How the route chooses.
    pub settings: RouteSettings,
}

/// Why a table cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteTableError {
    /// Two deployments have the same id.
    #[error("the deployment `{0}` is declared twice")]
    DeploymentTwice(String),
    /// Two routes have the same name.
    #[error("the route `{0}` is declared twice")]
    RouteTwice(String),
    /// A target leads nowhere.
    #[error(
        "the route `{route}` leads to `{target}`, which is no deployment, model or route{hint}"
    )]
    UnknownTarget {
        /// The route.
        route: String,
        /// The target.
        target: String,
        /// `; did you mean ...?` or nothing.
        hint: String,
    },
    /// A route without targets.
    #[error("the route `{0}` has no targets")]
    NoTargets(String),
    /// Routes lead to each other in a circle, or too deep.
    #[error("the route `{0}` leads back to itself, or through more than {DEPTH_MAX} routes")]
    Circle(String),
    /// Weights or margin that are no numbers, or negative weights.
    #[error("the route `{0}` has weights that are negative, all zero, or no numbers")]
    Weights(String),
}

/// Every name that leads somewhere. Immutable; a new configuration makes a new one.
#[derive(Clone, Debug)]
pub struct RouteTable {
    deployments: Vec<Arc<Deployment>>,
    by_id: HashMap<String, Arc<Resolved>>,
    by_model: HashMap<String, Arc<Resolved>>,
    templates: Vec<BackendTemplate>,
    named: HashMap<String, Arc<Resolved>>,
    patterns: Vec<RouteSpec>,
    /// Which patterns begin with a text, by its length in bytes and by itself; indexes rise.
    heads: BTreeMap<usize, HashMap<String, Vec<usize>>>,
    /// Settings of names that no route has.
    default_settings: RouteSettings,
}

impl RouteTable {
    /// The built-in route over all deployments, unless the configuration has its own.
    pub const AUTO: &'static str = "auto";

    /// Makes a table. `default_settings` hold for `auto` and for deployments named directly.
    ///
    /// # Errors
    /// When the configuration contradicts itself.
    pub fn new(
        deployments: Vec<Arc<Deployment>>,
        templates: Vec<BackendTemplate>,
        routes: Vec<RouteSpec>,
        default_settings: RouteSettings,
    ) -> Result<Self, RouteTableError> {
        let mut table = Self {
            deployments,
            by_id: HashMap::new(),
            by_model: HashMap::new(),
            templates,
            named: HashMap::new(),
            patterns: Vec::new(),
            heads: BTreeMap::new(),
            default_settings: checked("auto", default_settings)?,
        };
        table.index()?;
        table.add_routes(routes)?;
        Ok(table)
    }

    /// Every deployment that the configuration lists.
    pub fn deployments(&self) -> &[Arc<Deployment>] {
        &self.deployments
    }

    /// A deployment by its id, made on the spot when its backend takes any model.
    pub fn deployment(&self, id: &DeploymentId) -> Option<Arc<Deployment>> {
        match self.by_id.get(id.as_str()) {
            Some(resolved) => resolved.deployments.first().cloned(),
            None => self.ad_hoc(id.as_str()),
        }
    }

    /// Names that clients can be told of: `auto`, the routes, the deployments. Patterns are left out.
    pub fn names(&self) -> Vec<String> {
        let mut names: BTreeSet<&str> = self.named.keys().map(String::as_str).collect();
        names.extend(self.deployments.iter().map(|d| d.id.as_str()));
        let auto = (!self.deployments.is_empty()).then_some(Self::AUTO);
        names.extend(auto);
        names.into_iter().map(str::to_owned).collect()
    }

    /// Where a client's name leads. Looked up in this order: a route's name, `auto`, a deployment's
    /// id, the most specific pattern route, a model's bare name, a model that a backend takes
    /// without its being listed, and a pattern in the client's own words.
    ///
    /// `may_name` tells which names the caller may know: only those are offered when nothing is found.
    ///
    /// # Errors
    /// `NotFound`, with near names.
    pub fn resolve(
        &self,
        name: &str,
        may_name: &dyn Fn(&str) -> bool,
    ) -> Result<Arc<Resolved>, Error> {
        let found = if name.is_empty() || name.len() > NAME_BYTES_MAX {
            None
        } else {
            self.lookup(name)
        };
        found.ok_or_else(|| self.not_found(name, may_name))
    }

    fn lookup(&self, name: &str) -> Option<Arc<Resolved>> {
        self.exact(name)
            .or_else(|| self.by_pattern(name))
            .or_else(|| self.unlisted(name))
    }

    /// A route or a listed deployment.
    fn exact(&self, name: &str) -> Option<Arc<Resolved>> {
        let found = self.named.get(name).or_else(|| self.by_id.get(name));
        found.cloned()
    }

    /// Everything else that needs no route: a model's bare name, a model that a backend takes, a pattern.
    fn unlisted(&self, name: &str) -> Option<Arc<Resolved>> {
        if let Some(resolved) = self.by_model.get(name) {
            return Some(Arc::clone(resolved));
        }
        if let Some(deployment) = self.ad_hoc(name).or_else(|| self.ad_hoc_by_model(name)) {
            return Some(self.direct(name, vec![deployment]));
        }
        let matching = if name.contains('*') {
            self.matching(name)
        } else {
            Vec::new()
        };
        (!matching.is_empty()).then(|| self.direct(name, matching))
    }

    fn direct(&self, name: &str, deployments: Vec<Arc<Deployment>>) -> Arc<Resolved> {
        Arc::new(Resolved {
            name: name.to_owned(),
            deployments,
            settings: self.default_settings.clone(),
        })
    }

    /// Listed deployments whose id or model fits a pattern.
    fn matching(&self, pattern: &str) -> Vec<Arc<Deployment>> {
        self.deployments
            .iter()
            .filter(|d| {
                matches_pattern(pattern, d.id.as_str()) || matches_pattern(pattern, &d.model)
            })
            .take(DEPLOYMENTS_MAX)
            .cloned()
            .collect()
    }

    /// `backend/model` of a backend that takes any model.
    fn ad_hoc(&self, name: &str) -> Option<Arc<Deployment>> {
        let (backend, model) = name.split_once('/')?;
        let template = self
            .templates
            .iter()
            .find(|t| t.backend.as_str() == backend)?;
        is_model_name(model).then(|| template.deployment(model))
    }

    /// A bare model name that a backend's patterns claim.
    fn ad_hoc_by_model(&self, model: &str) -> Option<Arc<Deployment>> {
        let claims =
            |t: &&BackendTemplate| t.model_patterns.iter().any(|p| matches_pattern(p, model));
        let template = self.templates.iter().find(claims)?;
        is_model_name(model).then(|| template.deployment(model))
    }

    /// The most specific pattern route that fits. Its targets are not looked up among patterns
    /// again: `*` would lead to itself.
    fn by_pattern(&self, name: &str) -> Option<Arc<Resolved>> {
        let (route, star) = self.pattern_of(name)?;
        let deployments = route.targets.iter().flat_map(|target| {
            let target = target.replacen('*', star, 1);
            let found = self.exact(&target).or_else(|| self.unlisted(&target));
            found.map(|resolved| resolved.deployments.clone())
        });
        let deployments = distinct(deployments.flatten().collect());
        (!deployments.is_empty()).then(|| {
            Arc::new(Resolved {
                name: name.to_owned(),
                deployments,
                settings: route.settings.clone(),
            })
        })
    }

    /// The first pattern that fits, and what its star stood for. Only patterns whose beginning the
    /// name has are tried: a gateway may have thousands.
    fn pattern_of<'a>(&self, name: &'a str) -> Option<(&RouteSpec, &'a str)> {
        let begins = self.heads.iter().filter_map(|(length, heads)| {
            let patterns = heads.get(name.get(..*length)?)?;
            patterns
                .iter()
                .find_map(|&index| Some((index, captured(&self.patterns[index].name, name)?)))
        });
        let (index, star) = begins.min_by_key(|(index, _)| *index)?;
        Some((&self.patterns[index], star))
    }

    fn index(&mut self) -> Result<(), RouteTableError> {
        let mut by_model: HashMap<String, Vec<Arc<Deployment>>> = HashMap::new();
        for deployment in &self.deployments {
            let id = deployment.id.as_str();
            let resolved = self.direct(id, vec![Arc::clone(deployment)]);
            if self.by_id.insert(id.to_owned(), resolved).is_some() {
                return Err(RouteTableError::DeploymentTwice(id.to_owned()));
            }
            by_model
                .entry(deployment.model.clone())
                .or_default()
                .push(Arc::clone(deployment));
        }
        self.by_model = by_model
            .into_iter()
            .map(|(model, deployments)| {
                let resolved = self.direct(&model, distinct(deployments));
                (model, resolved)
            })
            .collect();
        if !self.deployments.is_empty() {
            let all = distinct(self.deployments.clone());
            let auto = self.direct(Self::AUTO, all);
            self.named.insert(Self::AUTO.to_owned(), auto);
        }
        Ok(())
    }

    fn add_routes(&mut self, routes: Vec<RouteSpec>) -> Result<(), RouteTableError> {
        let mut specs: HashMap<String, RouteSpec> = HashMap::new();
        let mut wild = HashSet::new();
        for mut route in routes {
            if route.targets.is_empty() {
                return Err(RouteTableError::NoTargets(route.name));
            }
            route.settings = checked(&route.name, route.settings)?;
            if route.name.contains('*') {
                if !wild.insert(route.name.clone()) {
                    return Err(RouteTableError::RouteTwice(route.name));
                }
                self.patterns.push(route);
            } else if let Some(twice) = specs.insert(route.name.clone(), route) {
                return Err(RouteTableError::RouteTwice(twice.name));
            }
        }
        // The most specific pattern first; equal ones by name, so that the order is the same each time.
        self.patterns.sort_by(|a, b| {
            literal_length(&b.name)
                .cmp(&literal_length(&a.name))
                .then_with(|| a.name.cmp(&b.name))
        });
        for (index, pattern) in self.patterns.iter().enumerate() {
            let head = pattern.name.split('*').next().unwrap_or_default();
            let heads = self.heads.entry(head.len()).or_default();
            heads.entry(head.to_owned()).or_default().push(index);
        }
        let mut names: Vec<&String> = specs.keys().collect();
        names.sort();
        for name in names {
            let deployments = self.expand(name, &specs, &mut Vec::new())?;
            let resolved = Resolved {
                name: name.clone(),
                deployments: distinct(deployments),
                settings: specs[name].settings.clone(),
            };
            self.named.insert(name.clone(), Arc::new(resolved));
        }
        Ok(())
    }

    /// The deployments of a named route, routes among its targets included.
    fn expand<'a>(
        &self,
        name: &'a str,
        specs: &'a HashMap<String, RouteSpec>,
        path: &mut Vec<&'a str>,
    ) -> Result<Vec<Arc<Deployment>>, RouteTableError> {
        if path.contains(&name) || path.len() >= DEPTH_MAX {
            return Err(RouteTableError::Circle(name.to_owned()));
        }
        path.push(name);
        let mut deployments = Vec::new();
        for target in &specs[name].targets {
            if let Some((target, _)) = specs.get_key_value(target).filter(|(t, _)| *t != name) {
                deployments.extend(self.expand(target, specs, path)?);
            } else if target == name && !self.by_model.contains_key(name) {
                return Err(RouteTableError::Circle(name.to_owned()));
            } else {
                deployments.extend(self.expand_target(name, target)?);
            }
        }
        path.pop();
        Ok(deployments)
    }

    fn expand_target(
        &self,
        route: &str,
        target: &str,
    ) -> Result<Vec<Arc<Deployment>>, RouteTableError> {
        let found = if target == route {
            self.by_model.get(target).cloned()
        } else if target == Self::AUTO {
            Some(self.direct(target, distinct(self.deployments.clone())))
        } else {
            // A backend that is named is meant, also where a pattern route would take everything.
            let named = || self.ad_hoc(target).map(|d| self.direct(target, vec![d]));
            let exact = self.exact(target).or_else(named);
            exact.or_else(|| self.lookup(target))
        };
        match found {
            Some(resolved) => Ok(resolved.deployments.clone()),
            None => Err(RouteTableError::UnknownTarget {
                route: route.to_owned(),
                target: target.to_owned(),
                hint: hint(&self.near(target, &|_| true)),
            }),
        }
    }

    fn near(&self, name: &str, may_name: &dyn Fn(&str) -> bool) -> Vec<String> {
        let name = name.to_lowercase();
        let mut scored: Vec<(f64, String)> = self
            .names()
            .into_iter()
            .filter(|known| may_name(known))
            .map(|known| {
                let bare = known
                    .split_once('/')
                    .map_or(known.as_str(), |(_, model)| model);
                let likeness = strsim::jaro_winkler(&name, &known.to_lowercase())
                    .max(strsim::jaro_winkler(&name, &bare.to_lowercase()));
                (likeness, known)
            })
            .filter(|(likeness, _)| *likeness >= 0.75)
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        scored.truncate(NEAR_NAMES_MAX);
        scored.into_iter().map(|(_, known)| known).collect()
    }

    fn not_found(&self, name: &str, may_name: &dyn Fn(&str) -> bool) -> Error {
        let shown: String = name.chars().take(64).collect();
        let near = self.near(&shown, may_name);
        let hint = if near.is_empty() {
            "; `GET /v1/models` lists what there is".to_owned()
        } else {
            hint(&near)
        };
        Error::new(
            ErrorKind::NotFound,
            format!("the model `{shown}` does not exist{hint}"),
        )
        .with_param("model")
        .with_code("model_not_found")
    }
}

fn hint(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    let names: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!("; did you mean {}?", names.join(" or "))
}

/// A name that a backend may be sent: no wildcard, no control characters.
fn is_model_name(model: &str) -> bool {
    !model.is_empty() && !model.contains('*') && !model.chars().any(char::is_control)
}

/// Each deployment once, in the order of its first mention, and not too many.
fn distinct(deployments: Vec<Arc<Deployment>>) -> Vec<Arc<Deployment>> {
    let mut seen = BTreeSet::new();
    deployments
        .into_iter()
        .filter(|deployment| seen.insert(deployment.id.clone()))
        .take(DEPLOYMENTS_MAX)
        .collect()
}

/// Settings within their bounds.
fn checked(route: &str, mut settings: RouteSettings) -> Result<RouteSettings, RouteTableError> {
    settings.max_attempts = settings.max_attempts.clamp(1, ATTEMPTS_MAX);
    let wrong = settings.weights.is_some_and(|weights| {
        let all = [weights.cost, weights.latency, weights.quality];
        all.iter().any(|w| !w.is_finite() || *w < 0.0) || all.iter().sum::<f64>() <= 0.0
    });
    if wrong || !settings.quality_margin.is_finite() {
        return Err(RouteTableError::Weights(route.to_owned()));
    }
    settings.weights = settings.weights.map(|weights| Weights {
        cost: crate::rank::rounded(weights.cost),
        latency: crate::rank::rounded(weights.latency),
        quality: crate::rank::rounded(weights.quality),
    });
    Ok(settings)
}

#[cfg(test)]
mod tests;
