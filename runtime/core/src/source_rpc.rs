//! [`TraceSource`] over gRPC: `Recent` (ingesters) and `Blocks` (retrievers) carry the same messages.

use std::sync::Arc;

use bytes::Bytes;
use tempoform_wire::internal::blocks_client::BlocksClient;
use tempoform_wire::internal::blocks_server::Blocks;
use tempoform_wire::internal::recent_client::RecentClient;
use tempoform_wire::internal::recent_server::Recent;
use tempoform_wire::internal::{
    AccountRequest, AnnounceRequest, AnnounceResponse, FindTraceRequest, FindTraceResponse, ReadAccount,
    SearchRequest, SearchResponse, SettleRequest, SettleResponse, TagNamesRequest, TagNamesResponse,
    TagValuesRequest, TagValuesResponse,
};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::{Account, Error, ErrorKind, Result, TENANT_HEADER, TenantId, TraceSource};

/// Serves a source under either service; `account` is what the process spent since it started.
#[derive(Clone)]
pub struct SourceService {
    source: Arc<dyn TraceSource>,
    account: Arc<Account>,
}

impl SourceService {
    /// Serves `source`.
    pub fn new(source: Arc<dyn TraceSource>, account: Arc<Account>) -> Self {
        Self { source, account }
    }
}

impl std::fmt::Debug for SourceService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceService").finish_non_exhaustive()
    }
}

fn tenant_of<T>(request: &Request<T>) -> Result<TenantId, Status> {
    let name = request
        .metadata()
        .get(TENANT_HEADER)
        .ok_or_else(|| Status::invalid_argument(format!("internal call without {TENANT_HEADER}")))?;
    let name =
        name.to_str().map_err(|error| Status::invalid_argument(format!("{TENANT_HEADER}: {error}")))?;
    Ok(name.parse::<TenantId>()?)
}

fn with_tenant<T>(tenant: &TenantId, message: T) -> Result<Request<T>> {
    let name = tenant.as_str().parse().map_err(|_| {
        Error::new(ErrorKind::Internal, format!("tenant {tenant} does not fit into gRPC metadata"))
    })?;
    let mut request = Request::new(message);
    request.metadata_mut().insert(TENANT_HEADER, name);
    Ok(request)
}

/// The server and client side of the four methods, for one of the two services.
macro_rules! carry {
    ($service:ident, $client:ident, $remote:ident, $what:literal, serves {$($served:item)*}, asks {$($asked:item)*}) => {
        #[tonic::async_trait]
        impl $service for SourceService {
            async fn find_trace(
                &self,
                request: Request<FindTraceRequest>,
            ) -> Result<Response<FindTraceResponse>, Status> {
                let tenant = tenant_of(&request)?;
                Ok(Response::new(self.source.find_trace(&tenant, request.into_inner()).await?))
            }

            async fn search(&self, request: Request<SearchRequest>) -> Result<Response<SearchResponse>, Status> {
                let tenant = tenant_of(&request)?;
                Ok(Response::new(self.source.search(&tenant, request.into_inner()).await?))
            }

            async fn tag_names(
                &self,
                request: Request<TagNamesRequest>,
            ) -> Result<Response<TagNamesResponse>, Status> {
                let tenant = tenant_of(&request)?;
                Ok(Response::new(self.source.tag_names(&tenant, request.into_inner()).await?))
            }

            async fn tag_values(
                &self,
                request: Request<TagValuesRequest>,
            ) -> Result<Response<TagValuesResponse>, Status> {
                let tenant = tenant_of(&request)?;
                Ok(Response::new(self.source.tag_values(&tenant, request.into_inner()).await?))
            }

            $($served)*
        }

        #[doc = concat!($what, " in another process.")]
        #[derive(Clone, Debug)]
        pub struct $remote($client<Channel>);

        impl $remote {
            /// Asks over `channel`; an answer of more than `max_answer` bytes is an error.
            pub fn new(channel: Channel, max_answer: usize) -> Self {
                Self($client::new(channel).max_decoding_message_size(max_answer))
            }
        }

        #[async_trait::async_trait]
        impl TraceSource for $remote {
            async fn find_trace(&self, tenant: &TenantId, request: FindTraceRequest) -> Result<FindTraceResponse> {
                Ok(self.0.clone().find_trace(with_tenant(tenant, request)?).await?.into_inner())
            }

            async fn search(&self, tenant: &TenantId, request: SearchRequest) -> Result<SearchResponse> {
                Ok(self.0.clone().search(with_tenant(tenant, request)?).await?.into_inner())
            }

            async fn tag_names(&self, tenant: &TenantId, request: TagNamesRequest) -> Result<TagNamesResponse> {
                Ok(self.0.clone().tag_names(with_tenant(tenant, request)?).await?.into_inner())
            }

            async fn tag_values(&self, tenant: &TenantId, request: TagValuesRequest) -> Result<TagValuesResponse> {
                Ok(self.0.clone().tag_values(with_tenant(tenant, request)?).await?.into_inner())
            }

            $($asked)*
        }
    };
}

carry!(
    Recent,
    RecentClient,
    RemoteRecent,
    "An ingester's recent traces",
    serves {
        async fn settle(&self, request: Request<SettleRequest>) -> Result<Response<SettleResponse>, Status> {
            let tenant = tenant_of(&request)?;
            Ok(Response::new(self.source.settle(&tenant, request.into_inner()).await?))
        }
    },
    asks {
        async fn settle(&self, tenant: &TenantId, request: SettleRequest) -> Result<SettleResponse> {
            Ok(self.0.clone().settle(with_tenant(tenant, request)?).await?.into_inner())
        }
    }
);
carry!(
    Blocks,
    BlocksClient,
    RemoteBlocks,
    "A retriever's blocks",
    serves {
        async fn account(&self, _: Request<AccountRequest>) -> Result<Response<ReadAccount>, Status> {
            Ok(Response::new(self.account.snapshot()))
        }

        async fn announce(&self, request: Request<AnnounceRequest>) -> Result<Response<AnnounceResponse>, Status> {
            let tenant = tenant_of(&request)?;
            self.source.announce(&tenant, request.into_inner().metas).await?;
            Ok(Response::new(AnnounceResponse {}))
        }
    },
    asks {
        async fn announce(&self, tenant: &TenantId, metas: Vec<Bytes>) -> Result<()> {
            self.0.clone().announce(with_tenant(tenant, AnnounceRequest { metas })?).await?;
            Ok(())
        }
    }
);

impl RemoteBlocks {
    /// What the retriever spent at the object store since it started.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn account(&self) -> Result<ReadAccount> {
        Ok(self.0.clone().account(AccountRequest {}).await?.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempoform_wire::internal::blocks_server::BlocksServer;
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::{Endpoint, Server};

    use super::*;

    /// Has one large piece of any trace, and no time for anything else.
    struct Busy;

    impl Busy {
        fn refusal<T>() -> Result<T> {
            Err(Error::new(ErrorKind::Exhausted, "busy").retry_after(Duration::from_secs(7)))
        }
    }

    #[async_trait::async_trait]
    impl TraceSource for Busy {
        async fn find_trace(&self, _: &TenantId, _: FindTraceRequest) -> Result<FindTraceResponse> {
            Ok(FindTraceResponse { pieces: vec![vec![0; 1000].into()], ..Default::default() })
        }

        async fn search(&self, _: &TenantId, _: SearchRequest) -> Result<SearchResponse> {
            Self::refusal()
        }

        async fn tag_names(&self, _: &TenantId, _: TagNamesRequest) -> Result<TagNamesResponse> {
            Self::refusal()
        }

        async fn tag_values(&self, _: &TenantId, _: TagValuesRequest) -> Result<TagValuesResponse> {
            Self::refusal()
        }
    }

    async fn listener() -> (TcpListener, Channel) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, Endpoint::from_shared(url).unwrap().connect_lazy())
    }

    #[tokio::test]
    async fn hints_and_sizes_over_the_wire() {
        let (listener, channel) = listener().await;
        let service = BlocksServer::new(SourceService::new(Arc::new(Busy), Arc::default()));
        let serving = Server::builder().add_service(service);
        tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
        let (remote, tenant) = (RemoteBlocks::new(channel, 500), TenantId::single());

        let refused = remote.search(&tenant, SearchRequest::default()).await.unwrap_err();
        assert_eq!((refused.kind(), refused.message()), (ErrorKind::Exhausted, "busy"));
        assert_eq!(refused.retry_hint(), Some(Duration::from_secs(7)));

        let too_large = remote.find_trace(&tenant, FindTraceRequest::default()).await.unwrap_err();
        assert_eq!(too_large.kind(), ErrorKind::Exhausted, "{too_large}");
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_worth_another_try() {
        let (listener, channel) = listener().await;
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                connection.readable().await.ok();
            }
        });
        let remote = RemoteBlocks::new(channel, 500);
        let broken = remote.search(&TenantId::single(), SearchRequest::default()).await.unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::Unavailable, "{broken}");
    }
}
