//! Metrics functions and what follows them.

use super::{Parser, comparison};
use crate::ast::{Metrics, MetricsFunction, SecondStage};
use crate::lexer::Token;
use crate::{Identifier, ParseError, Static};

impl Parser<'_> {
    /// A metrics function with everything after it, if one is next.
    pub(super) fn metrics(&mut self) -> Result<Option<Metrics>, ParseError> {
        let Token::Word(word) = self.peek().clone() else { return Ok(None) };
        let Some(function) = self.metrics_function(&word)? else { return Ok(None) };
        let is_compare = matches!(function, MetricsFunction::Compare { .. });
        let mut by = Vec::new();
        if !is_compare && self.is_word("by") {
            self.bump();
            by = self.identifiers()?;
        }
        let mut second = Vec::new();
        while let Some(stage) = self.second_stage()? {
            second.push(stage);
        }
        Ok(Some(Metrics { function, by, second }))
    }

    fn metrics_function(&mut self, word: &str) -> Result<Option<MetricsFunction>, ParseError> {
        let over_time: fn(Identifier) -> MetricsFunction = match word {
            "rate" => return self.without_argument(MetricsFunction::Rate),
            "count_over_time" => return self.without_argument(MetricsFunction::CountOverTime),
            "quantile_over_time" => return self.quantiles().map(Some),
            "compare" => return self.compare().map(Some),
            "min_over_time" => MetricsFunction::MinOverTime,
            "max_over_time" => MetricsFunction::MaxOverTime,
            "avg_over_time" => MetricsFunction::AvgOverTime,
            "sum_over_time" => MetricsFunction::SumOverTime,
            "histogram_over_time" => MetricsFunction::HistogramOverTime,
            _ => return Ok(None),
        };
        self.bump();
        self.expect("(")?;
        let attribute = self.identifier()?;
        self.expect(")")?;
        Ok(Some(over_time(attribute)))
    }

    fn without_argument(&mut self, function: MetricsFunction) -> Result<Option<MetricsFunction>, ParseError> {
        self.bump();
        self.empty_arguments()?;
        Ok(Some(function))
    }

    fn quantiles(&mut self) -> Result<MetricsFunction, ParseError> {
        self.bump();
        self.expect("(")?;
        let attribute = self.identifier()?;
        let mut quantiles = Vec::new();
        self.expect(",")?;
        loop {
            match self.literal() {
                Some(Static::Float(value)) => quantiles.push(value),
                Some(Static::Int(value)) => quantiles.push(value as f64),
                _ => return Err(self.unexpected("a quantile between 0 and 1")),
            }
            if !self.eat(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(MetricsFunction::QuantileOverTime(attribute, quantiles))
    }

    fn compare(&mut self) -> Result<MetricsFunction, ParseError> {
        self.bump();
        self.expect("(")?;
        let filter = self.filter()?;
        let top = if self.eat(",") { Some(self.signed_integer()?) } else { None };
        let window = if self.eat(",") {
            let start = self.signed_integer()?;
            self.expect(",")?;
            Some((start, self.signed_integer()?))
        } else {
            None
        };
        self.expect(")")?;
        Ok(MetricsFunction::Compare { filter, top, window })
    }

    fn second_stage(&mut self) -> Result<Option<SecondStage>, ParseError> {
        if self.is_symbol("|") {
            let top: fn(i64) -> SecondStage = match self.peek_at(1) {
                Token::Word(word) if word == "topk" => SecondStage::TopK,
                Token::Word(word) if word == "bottomk" => SecondStage::BottomK,
                _ => return Ok(None),
            };
            self.bump();
            self.bump();
            self.expect("(")?;
            let n = self.integer()?;
            self.expect(")")?;
            return Ok(Some(top(n)));
        }
        let Some(op) = self.symbol().and_then(comparison).filter(|op| !op.is_regex()) else {
            return Ok(None);
        };
        self.bump();
        match self.signed_literal()? {
            value @ (Static::Int(_) | Static::Float(_) | Static::Duration(_)) => {
                Ok(Some(SecondStage::Compare(op, value)))
            }
            _ => Err(self.unexpected("a number after the comparison")),
        }
    }

    fn integer(&mut self) -> Result<i64, ParseError> {
        match self.peek() {
            Token::Literal(Static::Int(value)) => {
                let value = *value;
                self.bump();
                Ok(value)
            }
            _ => Err(self.unexpected("a whole number")),
        }
    }

    fn signed_integer(&mut self) -> Result<i64, ParseError> {
        let negative = self.eat("-");
        let value = self.integer()?;
        Ok(if negative { -value } else { value })
    }
}
