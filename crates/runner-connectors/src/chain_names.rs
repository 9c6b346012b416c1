//! Names that the templates of every chain find, in the documented order: the run's parameters, the chain's window and values, what the
//! kind of source adds, config, the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use runner_plan::Plan;
use runner_plan::model::{IncrementalPlan, TimeFormat};
use runner_plan::template::{ConfigScope, Layers, NamedTexts, RunScope, Scope};
use runner_plan::windows::{Bounds, window_variables};

use crate::context::SourceContext;
use crate::source::WindowBounds;

/// Of one chain, or of a stream as a whole.
#[derive(Clone, Debug)]
pub(crate) struct ChainNames {
    plan: Arc<Plan>,
    run: RunScope,
    window: BTreeMap<String, String>,
    values: BTreeMap<String, String>,
}

impl ChainNames {
    /// What belongs to no chain.
    pub(crate) fn of_stream(context: &SourceContext) -> Self {
        Self {
            plan: Arc::clone(&context.plan),
            run: context.run_scope(),
            window: BTreeMap::new(),
            values: BTreeMap::new(),
        }
    }

    #[must_use]
    pub(crate) fn with_window(
        self,
        window: Option<&WindowBounds>,
        incremental: Option<&IncrementalPlan>,
    ) -> Self {
        let format = incremental.map_or(&TimeFormat::Natural, |incremental| &incremental.format);
        let window = window
            .map(|window| {
                let bounds = Bounds {
                    from: window.from.clone(),
                    to: window.to.clone(),
                    last_cursor: window.last_cursor.clone(),
                };
                window_variables(&bounds, format)
            })
            .unwrap_or_default();
        Self { window, ..self }
    }

    /// With the values of the parent or of `for_each`.
    #[must_use]
    pub(crate) fn with_values(self, values: BTreeMap<String, String>) -> Self {
        Self { values, ..self }
    }

    /// Asks all of them, and `own`, which stand before config.
    pub(crate) fn layers<T>(&self, own: &[&dyn Scope], ask: impl FnOnce(Layers<'_>) -> T) -> T {
        let parameters = NamedTexts {
            place: "the run's parameters",
            values: &self.plan.parameters,
        };
        let window = NamedTexts {
            place: "the window",
            values: &self.window,
        };
        let values = NamedTexts {
            place: "the values of the parent or of `for_each`",
            values: &self.values,
        };
        let config = ConfigScope(&self.plan.config);
        let mut layers: Vec<&dyn Scope> = vec![&parameters, &window, &values];
        layers.extend(own);
        layers.extend([&config as &dyn Scope, &self.run]);
        ask(Layers(layers))
    }
}
