//! Kubernetes quantities: `500m`, `2Gi`, `1e9`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::report::Refusal;
use tempoform_document::ByteSize;

const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1024.0 * 1024.0),
    ("Gi", 1024.0 * 1024.0 * 1024.0),
    ("Ti", 1024.0 * 1024.0 * 1024.0 * 1024.0),
    ("Pi", 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0),
    ("Ei", 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The number a quantity stands for, exact enough to compare and to set a memory ceiling by.
pub(super) fn value(quantity: &Quantity) -> Option<f64> {
    let text = quantity.0.as_str();
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|number| (number, *factor)))
        .unwrap_or((text, 1.0));
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let value = number.parse::<f64>().ok().filter(|_| plain)? * factor;
    value.is_finite().then_some(value)
}

/// A quantity of bytes, rounded down.
pub(super) fn bytes(quantity: &Quantity) -> Option<ByteSize> {
    let value = value(quantity).filter(|value| (0.0..9.3e18).contains(value))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range; rounds down"
    )]
    let bytes = value as u64;
    Some(ByteSize(bytes))
}

/// Refuses what is not a quantity above zero.
pub(super) fn positive(quantity: &Quantity, example: &str) -> Result<(), Refusal> {
    match value(quantity) {
        Some(value) if value > 0.0 => Ok(()),
        Some(_) => Err(Refusal::new(
            format!("{:?} is not above zero", quantity.0),
            format!("write for example {example}"),
        )),
        None => Err(Refusal::new(
            format!("{:?} is not a Kubernetes quantity", quantity.0),
            format!("write a number with a unit (m, k, M, G, Ki, Mi, Gi), for example {example}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn units_multiply(number in 0_u32..1_000_000) {
            prop_assert_eq!(bytes(&quantity(&format!("{number}Ki"))), Some(ByteSize(u64::from(number) << 10)));
            prop_assert_eq!(bytes(&quantity(&format!("{number}k"))), Some(ByteSize(u64::from(number) * 1000)));
            prop_assert_eq!(bytes(&quantity(&format!("{number}000m"))), Some(ByteSize(u64::from(number))));
        }

        #[test]
        fn no_text_is_a_wild_number(text in "\\PC{0,12}") {
            if let Some(value) = value(&quantity(&text)) {
                prop_assert!(value.is_finite());
            }
        }
    }

    fn quantity(text: &str) -> Quantity {
        Quantity(text.to_owned())
    }

    #[test]
    fn reads_every_form() {
        for (text, expected) in [
            ("1", 1.0),
            ("0.5", 0.5),
            ("500m", 0.5),
            ("2k", 2000.0),
            ("2Ki", 2048.0),
            ("1.5Gi", 1_610_612_736.0),
            ("1e3", 1000.0),
            ("2E", 2e18),
        ] {
            assert_eq!(value(&quantity(text)), Some(expected), "{text}");
        }
        for text in ["", "Gi", "1 Gi", "1gb", "1GiB", "inf", "NaN", "infinity", "one", "9e300E"] {
            assert_eq!(value(&quantity(text)), None, "{text}");
        }
    }

    #[test]
    fn bytes_round_down_and_stay_in_range() {
        assert_eq!(bytes(&quantity("1500m")), Some(ByteSize(1)));
        assert_eq!(bytes(&quantity("2Gi")), Some(ByteSize(2 << 30)));
        assert_eq!(bytes(&quantity("-1")), None);
        assert_eq!(bytes(&quantity("99E")), None);
    }
}
