//! The options that say how flows are shown.

use clap::{Args, ValueEnum};

use crate::render::flow::{Shape, Style};

/// How flows are shown.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Form of the output; several by commas, such as extended,id
    #[arg(short, long, value_enum, value_name = "FORM", value_delimiter = ',')]
    output: Vec<Form>,
    /// The same as -o json: an object a line
    #[arg(short, long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Lines of conntrack(8) (the default)
    Text,
    /// Text with the address family
    Extended,
    /// Text with the entry's number
    Id,
    /// Text with the table's timestamps, in UTC
    Ktimestamp,
    /// Text with labels
    Labels,
    /// Events with the time
    Timestamp,
    /// Columns for people
    Table,
    /// An object a line
    Json,
    /// Comma-separated values
    Csv,
    /// XML of conntrack(8)
    Xml,
}

impl Form {
    fn shape(self) -> Option<Shape> {
        match self {
            Self::Text => Some(Shape::Text),
            Self::Table => Some(Shape::Table),
            Self::Json => Some(Shape::Json),
            Self::Csv => Some(Shape::Csv),
            Self::Xml => Some(Shape::Xml),
            Self::Extended | Self::Id | Self::Ktimestamp | Self::Labels | Self::Timestamp => None,
        }
    }
}

impl OutputArgs {
    /// The style.
    ///
    /// # Errors
    /// Two forms exclude each other.
    pub(crate) fn style(&self) -> Result<Style, String> {
        let json = self.json.then_some(Shape::Json);
        let mut shapes: Vec<_> =
            json.into_iter().chain(self.output.iter().filter_map(|form| form.shape())).collect();
        shapes.dedup();
        if let [first, second, ..] = shapes[..] {
            return Err(format!("output can't be {first:?} and {second:?} at once"));
        }
        let has = |form| self.output.contains(&form);
        Ok(Style {
            shape: shapes.first().copied().unwrap_or_default(),
            extended: has(Form::Extended),
            id: has(Form::Id),
            ktimestamp: has(Form::Ktimestamp),
            labels: has(Form::Labels),
            timestamp: has(Form::Timestamp),
        })
    }
}
