CREATE TABLE "host_statements" (
	"host" text NOT NULL,
	"kind" text NOT NULL,
	"epoch" bigint NOT NULL,
	"seq" bigint NOT NULL,
	"public_key" text NOT NULL,
	"envelope" text NOT NULL,
	"at" bigint NOT NULL,
	CONSTRAINT "host_statements_host_kind_epoch_pk" PRIMARY KEY("host","kind","epoch")
);
--> statement-breakpoint
ALTER TABLE "host_statements" ADD CONSTRAINT "host_statements_host_hosts_host_fk" FOREIGN KEY ("host") REFERENCES "public"."hosts"("host") ON DELETE cascade ON UPDATE cascade;