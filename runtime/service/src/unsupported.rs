//! Settings whose silent neglect would weaken a deployment: refused until they are honoured.

use tempoform_config::Config;

/// The settings of `config` that this version cannot honour.
pub(crate) fn settings(config: &Config) -> Vec<&'static str> {
    let protocols = &config.distributor.receivers.otlp.protocols;
    let tls = [
        (
            protocols.grpc.as_ref().is_some_and(|grpc| grpc.tls.is_some()),
            "distributor.receivers.otlp.protocols.grpc.tls",
        ),
        (
            protocols.http.as_ref().is_some_and(|http| http.tls.is_some()),
            "distributor.receivers.otlp.protocols.http.tls",
        ),
        (config.server.http_tls_config.is_some(), "server.http_tls_config"),
        (config.server.grpc_tls_config.is_some(), "server.grpc_tls_config"),
        (
            config.ingester_client.grpc_client_config.tls_enabled,
            "ingester_client.grpc_client_config.tls_enabled",
        ),
    ];
    tls.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_refused_rather_than_left_out() {
        assert!(settings(&Config::default()).is_empty());
        let mut config = Config::default();
        config.ingester_client.grpc_client_config.tls_enabled = true;
        assert_eq!(settings(&config), ["ingester_client.grpc_client_config.tls_enabled"]);
    }
}
